-- Decisions of the review capability. The first columns are those every result table has (services/storage/results.py).
--
-- Retention: a table can become a partition later without a rewrite (rename it, add CHECK (received_at < cut-over) NOT VALID,
-- VALIDATE, create the parent PARTITION BY RANGE (received_at), ATTACH); see docs/decisions/0004.
CREATE TABLE review_decision (
    decision_id     uuid PRIMARY KEY,
    content_hash    bytea       NOT NULL,
    tenant          text        NOT NULL,
    event_id        text        NOT NULL,
    input_partition integer     NOT NULL,
    input_offset    bigint      NOT NULL,
    received_at     timestamptz NOT NULL,        -- the input record's Kafka timestamp
    decided_at      timestamptz NOT NULL,
    output_key      text,
    data            jsonb       NOT NULL,        -- the `data` of content.decided, exactly as published
    content_id      text GENERATED ALWAYS AS (data ->> 'content_id') STORED,
    author_id       text GENERATED ALWAYS AS (data ->> 'author_id') STORED,
    action          text GENERATED ALWAYS AS (data ->> 'action') STORED
);
CREATE INDEX review_decision_by_content ON review_decision (tenant, content_id);
CREATE INDEX review_decision_by_time ON review_decision (received_at);
