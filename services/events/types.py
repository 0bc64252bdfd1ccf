"""What an event type is: a topic, the model of its data, and the field that keeps one subject's events in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.errors import DeadLetterReason, PermanentError

__all__ = ["EventType", "Identifier", "WireModel"]


class WireModel(BaseModel):
    """Base of everything that travels in `data`: frozen, strict (a number is not a text), unknown fields ignored.

    Fields are validated once, at the edge; see `EventType.validate`.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)


#: An id that someone else chose: it becomes an index key.
Identifier = Annotated[str, Field(min_length=1, max_length=1024)]


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event. Another meaning of `model` needs another `version`; a new optional field does not."""

    topic: str
    model: type[BaseModel]
    #: The field of `data` that is the partition key: events with the same value keep their order.
    key: str
    version: int = 1

    @property
    def type(self) -> str:
        """The `type` attribute on the wire, such as `tidegate.content.submitted.v1`."""
        return f"tidegate.{self.topic}.v{self.version}"

    @property
    def dead_letter_topic(self) -> str:
        """Where records of `topic` go that can never succeed."""
        return f"{self.topic}.dlq"

    def validate(self, data: Mapping[str, Any]) -> BaseModel:
        """`data` as an instance of `model`.

        Raises:
            PermanentError: SCHEMA; the message names every field that does not fit and shows no value.
        """
        try:
            return self.model.model_validate(data)
        except ValidationError as error:
            # A place below the first level may be a key that a user chose.
            faults = [
                f"data.{fault['loc'][0]}: {fault['msg']}"
                for fault in error.errors(include_input=False, include_url=False)
            ]
            raise PermanentError(DeadLetterReason.SCHEMA, "; ".join(faults)) from None

    def partition_key(self, data: Mapping[str, Any]) -> bytes | None:
        """The Kafka key of an event with this `data`; None if the field is missing or not a text."""
        value = data.get(self.key)
        return value.encode("utf-8", "replace") if isinstance(value, str) and value else None
