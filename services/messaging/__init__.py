"""Kafka: clients, the ledger, rebalances, recovery, sends, bulk publishing and dead-letter records. Only this package imports kafka."""

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from services.messaging.assignment import Assignment, coordinator_answered, lost_membership
from services.messaging.clients import admin_client, close_producer, group_consumer, partition_reader, producer
from services.messaging.compressed_batches import UNREADABLE_HEADER, unreadable
from services.messaging.dead_letter_record import HEADER_PREFIX, DeadLetterRecord, dead_letter_record, original_headers
from services.messaging.ledger import PartitionLedger, UnknownOffset, Watermark
from services.messaging.publisher import Delivery, Publisher
from services.messaging.recovery import Recovered, input_header, output_partition, recover
from services.messaging.sender import Outgoing, Refused, Sender
from services.messaging.topics import create_missing_topics, require_topic

__all__ = [
    "HEADER_PREFIX",
    "UNREADABLE_HEADER",
    "Assignment",
    "DeadLetterRecord",
    "Delivery",
    "KafkaError",
    "Outgoing",
    "PartitionLedger",
    "Publisher",
    "Recovered",
    "Refused",
    "Sender",
    "TopicPartition",
    "UnknownOffset",
    "Watermark",
    "admin_client",
    "close_producer",
    "coordinator_answered",
    "create_missing_topics",
    "dead_letter_record",
    "group_consumer",
    "input_header",
    "lost_membership",
    "original_headers",
    "output_partition",
    "partition_reader",
    "producer",
    "recover",
    "require_topic",
    "unreadable",
]
