"""The dispatcher: owns both ends of Kafka, and settles an offset only when its effect is durable and acknowledged.

One thread, one loop, generic over capabilities. The parts, each a file: `intake` (record → item or refusal), `batcher`, `flight`
(which batch is where, and when it counts as lost), `publisher`, `dead_letter_desk`, `dead_letter_limit`, `in_flight`, `assignment`
(ledgers and rebalances), `recovery` (what a predecessor published), `loop` (the order of things).
"""
