-- A B-tree holds entries up to 2704 bytes, and a content_id of 1024 code points has up to 4096: one such message could not be
-- stored. A hash index takes any length, and nobody asks for a range of ids.
DROP INDEX review_decision_by_content;
CREATE INDEX review_decision_by_content ON review_decision USING hash (content_id);
