"""What `config.pbtxt` sets for the shipped review model, in a real Triton."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.embedded import running_parts
from services.inference import TritonInference
from services.serving import Engine, load_engine
from services.settings import Settings
from services.training.versions import ModelFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SHIPPED = ModelFolder.of(Path(__file__).resolve().parents[3] / "model_repo", "review")
TEXT = "Thanks for the lovely photos of the harbour, and by the way you are a stupid fucking idiot."


@pytest.fixture(scope="module")
def live() -> Path:
    version = SHIPPED.live()
    assert version is not None
    return SHIPPED.version_path(version)


@pytest.fixture(scope="module")
def without_spans(scratch: Path, live: Path) -> Iterator[TritonInference]:
    """The live version in one instance that looks for no spans."""
    repository = scratch / "without-spans" / "models"
    shutil.copytree(live, repository / "review" / live.name, ignore=shutil.ignore_patterns("__pycache__"))
    config = (SHIPPED.path / "config.pbtxt").read_text(encoding="utf-8")
    changed = config.replace('string_value: "0.25"', 'string_value: "2"').replace("count: 2", "count: 1")
    assert changed.count('string_value: "2"') == changed.count("count: 1") == 1
    (repository / "review" / "config.pbtxt").write_text(changed, encoding="utf-8")
    folder = scratch / "without-spans" / "stack"
    with running_parts(folder, {"triton"}, model_repositories=[repository]) as environment:
        client = TritonInference(Settings(triton_grpc=environment["TIDEGATE_TRITON_GRPC"], inference_timeout_s=30))
        yield client
        client.close()


@pytest.fixture(scope="module")
def engine(live: Path) -> Engine:
    return load_engine(live)


def test_spans_can_be_turned_off_and_the_scores_stay(without_spans: TritonInference, engine: Engine) -> None:
    tensor = np.array([[TEXT.encode()]], dtype=np.object_)
    answer = without_spans.infer("review", {"TEXT": tensor}, ("SCORES", "SPANS"))
    explained = engine.infer([TEXT])
    assert np.allclose(answer.outputs["SCORES"], explained.scores, atol=1e-5)
    column = engine.labels.index("toxicity")
    start, end = explained.spans[0, column].tolist()
    assert 0 < end - start < len(TEXT)
    assert (np.asarray(answer.outputs["SPANS"])[0] == (0, len(TEXT))).all()
