"""Kafka: client factories, the ledger, topics and dead-letter records. Only this package imports kafka."""

from services.messaging.clients import admin_client, group_consumer, partition_reader, producer
from services.messaging.dead_letter_record import DeadLetterRecord, dead_letter_record, original_headers
from services.messaging.ledger import PartitionLedger, UnknownOffset, Watermark
from services.messaging.topics import create_missing_topics

__all__ = [
    "DeadLetterRecord",
    "PartitionLedger",
    "UnknownOffset",
    "Watermark",
    "admin_client",
    "create_missing_topics",
    "dead_letter_record",
    "group_consumer",
    "original_headers",
    "partition_reader",
    "producer",
]
