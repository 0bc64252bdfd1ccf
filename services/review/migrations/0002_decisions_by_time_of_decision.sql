-- `tidegate results` reads the newest decisions, and follows them as they come. The index on received_at served no query; together
-- they would make every message pay for two.
DROP INDEX review_decision_by_time;
CREATE INDEX review_decision_by_decided_at ON review_decision (decided_at, decision_id);
