"""The stand-ins of the unit tests keep the contracts of the real parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from services.errors import TransientError
from services.messaging import Assignment, TopicPartition
from services.storage import BatchBoard, DeadLetterStore, ResultStore
from tests.contract.kafka_contract import KafkaContract, KafkaPlace
from tests.contract.postgres_contract import REFUSED, DispatchersContract, WorkersContract
from tests.unit.dispatcher.scripted import INPUT, Kafka, Postgres
from tests.unit.worker.places import Board, Table


class TestTheWorkersTableAndBoard(WorkersContract):
    @pytest.fixture
    def table(self) -> Table:
        table = Table()
        table.refuses = {REFUSED}
        return table

    @pytest.fixture
    def results(self, table: Table) -> ResultStore:
        return cast("ResultStore", table)

    @pytest.fixture
    def board(self, table: Table) -> BatchBoard:
        return cast("BatchBoard", Board(table))

    @pytest.fixture
    def away(self) -> tuple[ResultStore, BatchBoard]:
        table, board = Table(), Board()
        table.faults = [TransientError("Postgres: it is away")] * 9
        board.away = True
        return cast("ResultStore", table), cast("BatchBoard", board)


class TestTheDispatchersPostgres(DispatchersContract):
    @pytest.fixture
    def postgres(self) -> Postgres:
        return Postgres()

    @pytest.fixture
    def results(self, postgres: Postgres) -> ResultStore:
        return cast("ResultStore", postgres)

    @pytest.fixture
    def board(self, postgres: Postgres) -> BatchBoard:
        return cast("BatchBoard", postgres)

    @pytest.fixture
    def letters(self, postgres: Postgres) -> DeadLetterStore:
        return cast("DeadLetterStore", postgres)

    @pytest.fixture
    def reasons(self, postgres: Postgres) -> Callable[[], list[str]]:
        return lambda: [letter.reason for letter in postgres.letters]

    @pytest.fixture
    def away(self) -> tuple[ResultStore, BatchBoard]:
        postgres = Postgres()
        postgres.away = True
        return cast("ResultStore", postgres), cast("BatchBoard", postgres)


class ScriptedPlace(KafkaPlace):
    source, target = INPUT, TopicPartition("toy.answered", 0)

    def __init__(self) -> None:
        self.kafka = self.consumer = self.producer = Kafka()

    def subscribe(self) -> None:
        self.kafka.crash()
        self.assignment = Assignment(self.consumer)
        self.kafka.subscribe([INPUT.topic], self.assignment)

    def take_away(self) -> None:
        self.kafka.will_revoke = "revoked"

    def give_back(self) -> None:
        self.kafka.will_assign = True


class TestTheDispatchersKafka(KafkaContract):
    @pytest.fixture
    def place(self) -> ScriptedPlace:
        return ScriptedPlace()
