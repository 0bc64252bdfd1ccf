"""`python -m consumers.worker`: a Celery worker with a threads pool, which runs batches of every capability.

Threads, because the work is waiting for Triton and Postgres: one gRPC channel, one connection pool and plain metrics per
process, no fork hazards, a third of prefork's memory (measured 2026-11). The price: no time limits by the pool, so every
blocking call has its own.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from celery.signals import worker_ready, worker_shutdown

from consumers.broker import RUN_BATCH, make_broker, queue_name
from consumers.broker_mark import BrokerMark
from consumers.collector import collect_rarely
from consumers.work_order import WorkOrder
from consumers.worker.batch_run import BatchRunner, Station
from consumers.worker.heartbeat import Heartbeat
from services.capabilities import Capability, load_capabilities
from services.errors import TidegateError
from services.inference import Inference, TritonInference
from services.settings import Settings, load_settings
from services.storage import BatchBoard, Database, ResultStore
from services.telemetry import Health, configure_logging, get_logger, serve_health

_log = get_logger(__name__)

#: Beyond the longest call a healthy batch may take; then the process counts as stuck.
_STUCK_MARGIN_S = 120.0


def main() -> int:
    """Entry point; returns when the worker was told to stop."""
    try:
        settings = load_settings()
        configure_logging("worker", settings.log_level)
        capabilities = load_capabilities(settings)
        return _serve(settings, capabilities)
    except TidegateError as error:
        _log.critical("worker cannot start", problem=str(error))
        return 1


def _serve(settings: Settings, capabilities: dict[str, Capability]) -> int:
    worker = f"{socket.gethostname()}-{os.getpid()}"
    database = Database(settings, size=settings.worker_concurrency + 2, acquire_timeout_s=3.0)
    inference = TritonInference(settings)
    board = BatchBoard(database)
    stations = {name: _station(c, inference, settings, database) for name, c in capabilities.items()}
    runner = BatchRunner(stations, board, worker, settings.worker_patience_s)

    health = Health(stale_after_s=15.0)
    health.set_condition("broker", "not connected to the Celery broker yet")
    serve_health(health, settings.metrics_host, settings.metrics_port)
    models = sorted({m for c in capabilities.values() for m in c.models})
    stuck_after_s = settings.inference_timeout_s + settings.worker_patience_s + _STUCK_MARGIN_S
    mark = BrokerMark(settings, answer_within_s=1.0)
    heartbeat = Heartbeat(board, runner, worker, health, lambda: inference.ready(models), mark.lost, stuck_after_s)

    app = make_broker(settings, capabilities)

    @app.task(name=RUN_BATCH)
    def run_batch(order: list[Any]) -> None:
        runner.run(WorkOrder.load(order))

    @worker_ready.connect(weak=False)
    def started(**_: object) -> None:
        health.set_condition("broker", None)
        collect_rarely()
        _log.info(
            "worker is ready", worker=worker, capabilities=sorted(capabilities), threads=settings.worker_concurrency
        )

    @worker_shutdown.connect(weak=False)
    def ended(**_: object) -> None:
        heartbeat.stop()

    # Before Celery has found its broker, which may take as long as that is away: a process without a heartbeat counts as stuck.
    heartbeat.start()
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=threads",
            f"--concurrency={settings.worker_concurrency}",
            f"--hostname={worker}@tidegate",
            f"--queues={','.join(queue_name(name) for name in capabilities)}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--loglevel={'WARNING' if settings.log_level.upper() == 'INFO' else settings.log_level}",
        ]
    )
    database.close()
    inference.close()
    return 0


def _station(capability: Capability, inference: Inference, settings: Settings, database: Database) -> Station:
    def probe() -> None:
        for model in capability.models:
            inference.probe(model)

    pipeline = capability.load_pipeline()(inference, settings)
    return Station(capability, pipeline, ResultStore(database, capability.table), probe)


if __name__ == "__main__":
    sys.exit(main())
