"""Kafka: clients, the ledger, rebalances, recovery, sends and dead-letter records. Only this package imports kafka."""

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from services.messaging.assignment import Assignment
from services.messaging.clients import admin_client, group_consumer, partition_reader, producer
from services.messaging.dead_letter_record import DeadLetterRecord, dead_letter_record, original_headers
from services.messaging.ledger import PartitionLedger, UnknownOffset, Watermark
from services.messaging.recovery import output_partition, recover
from services.messaging.sender import Outgoing, Sender
from services.messaging.topics import create_missing_topics

__all__ = [
    "Assignment",
    "DeadLetterRecord",
    "KafkaError",
    "Outgoing",
    "PartitionLedger",
    "Sender",
    "TopicPartition",
    "UnknownOffset",
    "Watermark",
    "admin_client",
    "create_missing_topics",
    "dead_letter_record",
    "group_consumer",
    "original_headers",
    "output_partition",
    "partition_reader",
    "producer",
    "recover",
]
