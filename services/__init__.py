"""Tidegate's reusable parts: no Celery app and no Kafka loop live here (those are in `consumers`)."""
