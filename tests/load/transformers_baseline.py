"""The `transformers` pipeline with the same weights: what a person would write in ten lines. Runs in the training environment.

    python tests/load/transformers_baseline.py MODEL_REPO/MODEL/VERSION < texts.json

The weights are those that the version serves, restored to float32. Standard input is {"texts": [...], "batch_sizes": [...]};
standard output is one line of JSON. The best batch size is found on the first texts, unless only one is given. Texts are not
sorted by length, because the pipeline does not do that.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast, logging, pipeline
from transformers.modeling_outputs import SequenceClassifierOutput

from services.training.network import load_classifier
from services.training.start import restore_served

_PROBES = 192
_LONGEST = 512


class _Wrapped(PreTrainedModel):  # type: ignore[misc]  # torch and transformers are not installed where types are checked
    """The project's network as the pipeline wants it."""

    def __init__(self, folder: Path) -> None:
        classifier, _ = load_classifier(folder)
        config = AutoConfig.from_pretrained(folder)
        config.id2label = dict(enumerate(classifier.labels))
        config.label2id = {label: number for number, label in config.id2label.items()}
        config.problem_type = "multi_label_classification"
        super().__init__(config)
        self.classifier = classifier

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return SequenceClassifierOutput(logits=self.classifier(input_ids, attention_mask))


def main() -> None:
    """Entry point."""
    logging.set_verbosity_error()  # the pipeline wonders aloud about a class that it does not know
    request = json.load(sys.stdin)
    texts: list[str] = request["texts"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "weights"
        restore_served(Path(sys.argv[1]), folder)
        result = _measure(folder, texts, request["batch_sizes"])
    sys.stdout.write(json.dumps(result) + "\n")


def _measure(folder: Path, texts: list[str], batch_sizes: list[int]) -> dict[str, Any]:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        pad_token="<pad>",
        model_max_length=_LONGEST,
    )
    classify = pipeline(
        "text-classification",
        model=_Wrapped(folder).eval(),
        tokenizer=tokenizer,
        device="cpu",
        top_k=None,
        truncation=True,
    )

    def per_second(some: list[str], batch_size: int) -> float:
        started = time.perf_counter()
        classify(some, batch_size=batch_size)
        return len(some) / (time.perf_counter() - started)

    per_second(texts[:32], 8)
    probed = {size: per_second(texts[:_PROBES], size) for size in batch_sizes}
    best = max(probed, key=lambda size: probed[size])
    return {
        "texts_per_s": per_second(texts, best),
        "batch_size": best,
        "probed": probed,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
