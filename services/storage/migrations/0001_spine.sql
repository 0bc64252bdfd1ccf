-- What the spine itself needs, whatever the capabilities are. Results live in each capability's own table.

-- Original bytes of every message that could not become a result. A row is never changed but for its replay marks.
CREATE TABLE dead_letter (
    id               uuid PRIMARY KEY,           -- uuid5 of topic, partition, offset and the bytes: the same record gives the same row
    capability       text        NOT NULL,
    topic            text        NOT NULL,
    partition        integer     NOT NULL,
    "offset"         bigint      NOT NULL,
    record_timestamp timestamptz NOT NULL,
    key              bytea,
    value            bytea,
    headers          jsonb       NOT NULL,       -- [[name, base64 of the value], ...]: headers may repeat and are bytes
    reason           text        NOT NULL,
    detail           text        NOT NULL,
    event_id         text,
    component        text        NOT NULL,
    version          text        NOT NULL,
    failed_at        timestamptz NOT NULL DEFAULT now(),
    replayed_at      timestamptz,
    replay_count     integer     NOT NULL DEFAULT 0
);
CREATE INDEX dead_letter_by_failure ON dead_letter (failed_at DESC, id);
CREATE INDEX dead_letter_by_reason ON dead_letter (reason, failed_at DESC);

-- "Batch b is finished, and this came of it." Written in the same statement as the results. UNLOGGED on purpose: a marker
-- lost in a Postgres crash only makes the dispatcher send the batch again, and workers then find the results stored.
CREATE UNLOGGED TABLE batch_done (
    batch_id    uuid PRIMARY KEY,
    outcome     text        NOT NULL CHECK (outcome IN ('done', 'retry', 'suspect', 'misconfigured')),
    rejects     jsonb       NOT NULL DEFAULT '[]',   -- [[index in the batch, reason, message], ...]
    detail      text        NOT NULL DEFAULT '',
    finished_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX batch_done_by_age ON batch_done (finished_at);

-- Written only for suspected batches, before they run: a process that dies while it runs one leaves this behind.
CREATE UNLOGGED TABLE batch_started (
    batch_id   uuid PRIMARY KEY,
    worker     text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);

-- Signs of life of the workers, with what each runs now. Losing it costs one second.
CREATE UNLOGGED TABLE worker_heartbeat (
    worker  text PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    running uuid[]      NOT NULL,
    problem text                                    -- the dependency the worker waits for, or NULL
);
