"""From a Kafka record to an item or a refusal. Cheap, and the same for every capability.

Promises: never raises for anything a sender can write; a refusal's detail never shows the text. It checks the envelope and the
tenant; whether `data` fits the capability's model is the worker's check, to keep this thread lean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.dispatcher.items import Item, Record, Refusal
from services.errors import DeadLetterReason, PermanentError
from services.events import content_hash, decision_id, decode
from services.messaging import unreadable

if TYPE_CHECKING:
    from services.capabilities import Capability
    from services.messaging import PartitionLedger
    from services.settings import Settings

__all__ = ["read_record"]


def read_record(record: Record, capability: Capability, ledger: PartitionLedger, settings: Settings) -> Item | Refusal:
    """One record, decoded and addressed, or the reason why it cannot be."""
    value = record.value
    size = len(value) if value is not None else 0
    event_id: str | None = None
    try:
        broken = unreadable(record.headers)
        if broken is not None:
            raise broken
        envelope = decode(value, record.headers, max_bytes=settings.max_message_bytes)
        event_id = envelope.id
        if envelope.type != capability.input.type:
            raise PermanentError(DeadLetterReason.UNKNOWN_TYPE, f"type is not {capability.input.type}")
        if envelope.tenant not in settings.tenants:
            raise PermanentError(DeadLetterReason.UNKNOWN_TENANT, "no such tenant is configured")
        data = envelope.data
        key = data.get(capability.output.key)
        return Item(
            capability,
            ledger,
            record,
            str(decision_id(envelope.tenant, envelope.source, envelope.id, capability.name)),
            content_hash(data).hex(),
            envelope.tenant,
            envelope.id,
            key if isinstance(key, str) else None,
            data,
            size,
        )
    except PermanentError as error:
        return Refusal(capability, ledger, record, error.reason, str(error), event_id, size)
    except (
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # a sender found what the codec did not foresee: keep the flow
        detail = f"the event cannot be read: {type(error).__name__}"
        return Refusal(capability, ledger, record, DeadLetterReason.INTERNAL, detail, event_id, size)
