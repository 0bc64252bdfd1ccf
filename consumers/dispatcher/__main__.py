"""`python -m consumers.dispatcher`: run until SIGTERM or SIGINT, then finish what is in flight and leave the group."""

from __future__ import annotations

import faulthandler
import signal
import socket
import sys
import time
from os import getpid
from typing import TYPE_CHECKING, TypeVar

from kombu.exceptions import OperationalError

from consumers.broker import RUN_BATCH, make_broker, queue_name
from consumers.broker_mark import BrokerMark
from consumers.collector import collect_rarely
from consumers.dispatcher.loop import Dispatcher, Ports
from services.capabilities import Capability, load_capabilities
from services.errors import TidegateError, TransientError
from services.messaging import KafkaError, close_producer, group_consumer, producer
from services.settings import Settings, load_settings
from services.storage import BatchBoard, Database, DeadLetterStore, ResultStore
from services.telemetry import Health, configure_logging, get_logger, serve_health

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumers.work_order import WorkOrder

_log = get_logger(__name__)

T = TypeVar("T")

#: The loop stands still meanwhile, so a broker that is frozen must be noticed soon.
_BROKER_ANSWERS_WITHIN_S = 2


def main() -> int:
    """Entry point; the exit code is 0 after a stop in good order."""
    faulthandler.register(signal.SIGUSR1)  # dumps the stack of every thread: the first question about a stuck loop
    try:
        settings = load_settings()
        configure_logging("dispatcher", settings.log_level)
        return _serve(settings, load_capabilities(settings))
    except TidegateError as error:
        _log.critical("dispatcher cannot start", problem=str(error))
        return 1


def _serve(settings: Settings, capabilities: dict[str, Capability]) -> int:
    health = Health()
    serve_health(health, settings.metrics_host, settings.metrics_port)
    client_id = f"tidegate-dispatcher-{socket.gethostname()}-{getpid()}"
    database = Database(settings, size=1, acquire_timeout_s=2.0)
    consumer = _patiently(lambda: group_consumer(settings, client_id), health)
    out = _patiently(lambda: producer(settings, client_id), health)
    ports = Ports(
        consumer=consumer,
        producer=out,
        board=BatchBoard(database),
        dead_letters=DeadLetterStore(database),
        results={name: ResultStore(database, c.table) for name, c in capabilities.items()},
        send=_sender(settings, capabilities),
        broker_lost=BrokerMark(settings, answer_within_s=_BROKER_ANSWERS_WITHIN_S).lost,
    )
    dispatcher = Dispatcher(settings, capabilities, ports, health)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: dispatcher.stop())
    collect_rarely()
    _log.info("dispatcher runs", group=settings.consumer_group, capabilities=sorted(capabilities))
    try:
        dispatcher.run()
    finally:
        close_producer(out, 3.0)
        consumer.close(autocommit=False, timeout_ms=3000)
        database.close()
    _log.info("dispatcher stopped")
    return 0


def _sender(settings: Settings, capabilities: dict[str, Capability]) -> Callable[[str, WorkOrder], None]:
    """One long-lived Celery producer: acquiring one from the pool for each batch costs as much as sending it."""
    app = make_broker(settings, capabilities, answer_within_s=_BROKER_ANSWERS_WITHIN_S)
    signature = app.signature(RUN_BATCH)

    def send(capability: str, order: WorkOrder) -> None:
        try:
            with app.producer_pool.acquire(block=True, timeout=2) as celery_producer:
                signature.apply_async(
                    args=(order.dump(),),
                    argsrepr="(a batch)",  # Celery would show the beginning of a text in the message's headers
                    queue=queue_name(capability),
                    producer=celery_producer,
                    retry=False,
                    ignore_result=True,
                )
        except (OperationalError, ConnectionError, TimeoutError, OSError) as error:
            raise TransientError(f"the Celery broker does not answer: {type(error).__name__}") from error
        except Exception as error:
            # redis-py and kombu raise a dozen classes for a connection that breaks; none of them is the batch's fault.
            if type(error).__module__.partition(".")[0] in {"redis", "kombu", "amqp"}:
                raise TransientError(f"the Celery broker does not answer: {type(error).__name__}") from error
            raise

    return send


def _patiently(make: Callable[[], T], health: Health) -> T:
    """Construct a Kafka client as soon as a broker answers."""
    waited = False
    while True:
        health.beat()
        try:
            made = make()
        except KafkaError as error:
            if not waited:
                _log.warning("waiting for Kafka", error_class=type(error).__name__)
                waited = True
            health.set_condition("kafka", f"Kafka does not answer: {type(error).__name__}")
            time.sleep(1)
        else:
            health.set_condition("kafka", None)
            return made


if __name__ == "__main__":
    sys.exit(main())
