"""The real parts keep the contracts that the stand-ins of the unit tests are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from services.messaging import Assignment, TopicPartition, close_producer, group_consumer, producer
from services.settings import Settings
from services.storage import BatchBoard, Database, DeadLetterStore, ResultStore
from tests.contract.kafka_contract import KafkaContract, KafkaPlace
from tests.contract.postgres_contract import DispatchersContract, WorkersContract
from tests.integration.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def database(servers: Servers) -> Iterator[Database]:
    with servers.deploy().database() as made:
        yield made


class TestPostgres(WorkersContract, DispatchersContract):
    @pytest.fixture
    def results(self, database: Database) -> ResultStore:
        return ResultStore(database, "toy_answer")

    @pytest.fixture
    def board(self, database: Database) -> BatchBoard:
        with database.cursor("test") as cursor:
            cursor.execute("TRUNCATE worker_heartbeat")
        return BatchBoard(database)

    @pytest.fixture
    def letters(self, database: Database) -> DeadLetterStore:
        return DeadLetterStore(database)

    @pytest.fixture
    def reasons(self, letters: DeadLetterStore) -> Callable[[], list[str]]:
        return lambda: [letter.reason for letter in letters.find()]

    @pytest.fixture
    def away(self) -> Iterator[tuple[ResultStore, BatchBoard]]:
        settings = Settings(postgres_dsn="postgresql://postgres@127.0.0.1:1/x")
        database = Database(settings, size=1, acquire_timeout_s=0.2)
        yield ResultStore(database, "toy_answer"), BatchBoard(database)
        database.close()


class RealPlace(KafkaPlace):
    def __init__(self, settings: Settings) -> None:
        self.source = TopicPartition(f"{settings.topic_prefix}toy.requested", 0)
        self.target = TopicPartition(f"{settings.topic_prefix}toy.answered", 0)
        self.producer = producer(settings, "test")
        self.consumer = None
        self._settings = settings

    def subscribe(self) -> None:
        self.leave()
        self.consumer = group_consumer(self._settings, "test")
        self.assignment = Assignment(self.consumer)
        self.give_back()

    def take_away(self) -> None:
        self._subscribe_to(self.target.topic)

    def give_back(self) -> None:
        self._subscribe_to(self.source.topic)

    def _subscribe_to(self, topic: str) -> None:
        self.consumer.subscribe(topics=[topic], listener=self.assignment)

    def leave(self) -> None:
        if self.consumer is not None:
            self.consumer.close(autocommit=False, timeout_ms=3000)


class TestKafka(KafkaContract):
    @pytest.fixture
    def place(self, servers: Servers) -> Iterator[RealPlace]:
        place = RealPlace(servers.deploy(topic_partitions=1).settings)
        yield place
        place.leave()
        close_producer(place.producer, 5)
