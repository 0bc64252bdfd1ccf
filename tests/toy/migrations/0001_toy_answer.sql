CREATE TABLE toy_answer (
    decision_id     uuid PRIMARY KEY,
    content_hash    bytea       NOT NULL,
    tenant          text        NOT NULL,
    event_id        text        NOT NULL,
    input_partition integer     NOT NULL,
    input_offset    bigint      NOT NULL,
    received_at     timestamptz NOT NULL,
    decided_at      timestamptz NOT NULL,
    output_key      text,
    data            jsonb       NOT NULL
);
