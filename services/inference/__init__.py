"""The model server, behind one small port. Only this package imports tritonclient."""

from services.inference.bisect import run_bisecting
from services.inference.port import Answer, Inference, Tensor
from services.inference.triton import TritonInference, classify

__all__ = ["Answer", "Inference", "Tensor", "TritonInference", "classify", "run_bisecting"]
