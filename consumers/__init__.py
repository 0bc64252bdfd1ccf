"""The processes: dispatcher, worker, and the one-shot preparation of topics and tables."""
