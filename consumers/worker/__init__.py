"""The worker process: batches in, rows and markers out. It holds no Kafka client."""
