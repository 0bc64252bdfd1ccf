"""The engine inside the model server: texts in, scores and deciding spans out.

Importable without torch, Triton or Kafka, so that a server's Python stub stays light and tests need no server.
"""

from services.serving.engine import MODEL_FILES, Engine, EngineSettings, Scores, load_engine

__all__ = ["MODEL_FILES", "Engine", "EngineSettings", "Scores", "load_engine"]
