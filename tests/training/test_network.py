"""The network, its base model and its exported form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from services.errors import ConfigurationError
from services.serving import EngineSettings, load_engine
from services.training.batches import batch_order, epoch_batches
from services.training.calibration import Calibration
from services.training.data.labels import LABELS
from services.training.export import export_model
from services.training.fit import FitSettings, fit
from services.training.graph import ExportGraph
from services.training.network import Classifier, load_classifier, prepare_base, save_classifier
from services.training.predict import predict_torch
from tests.training.tiny import classifier, items, texts

pytestmark = [
    pytest.mark.timeout(900),
    # OpenVINO traces torch models by a way that torch has begun to leave.
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
]


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells rude from polite, as `train` leaves it."""
    folder = tmp_path_factory.mktemp("trained")
    model, tokenizer = classifier(base)
    settings = FitSettings(batch=16, width=32, steps=60, threads=2, learning_rate=3e-3, head_learning_rate=3e-2)
    fit(model, tokenizer, items(200), folder, settings)
    save_classifier(model, tokenizer, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("exported") / "served"
    export_model(trained, target, [text for text, _ in texts(60, seed=3)])
    return target


def states_of(model: Classifier, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder's states of one text, and the embeddings that the exported graph takes for it."""
    embeddings = model.encoder.embeddings
    positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
    with torch.no_grad():
        states = model.encoder(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        given = embeddings.word_embeddings(tokens) + positions[: tokens.shape[1]]
    return states, given


def test_the_export_graph_computes_what_the_encoder_computes(base: Path) -> None:
    model = classifier(base)[0].eval()
    tokens = torch.tensor([[0, *range(10, 40), 2]])
    states, given = states_of(model, tokens)
    with torch.no_grad():
        found = ExportGraph(model).eval()(given, torch.zeros(1, tokens.shape[1]))
    assert torch.allclose(found, states, atol=1e-5)


def test_texts_that_lie_end_to_end_in_the_graph_do_not_see_each_other(base: Path) -> None:
    model = classifier(base)[0].eval()
    graph = ExportGraph(model).eval()
    one, other = torch.tensor([[0, *range(10, 22), 2]]), torch.tensor([[0, *range(30, 37), 2]])
    states, given = zip(*(states_of(model, tokens) for tokens in (one, other)), strict=True)
    segments = torch.tensor([[0.0] * one.shape[1] + [1.0] * other.shape[1]])
    with torch.no_grad():
        found = graph(torch.cat(given, dim=1), segments)
    assert torch.allclose(found, torch.cat(states, dim=1), atol=1e-5)


def test_the_exported_model_scores_as_the_trained_one(trained: Path, exported: Path) -> None:
    sample = [text for text, _ in texts(60, seed=9)]
    model, tokenizer = load_classifier(trained)
    wanted = 1 / (1 + np.exp(-predict_torch(model, tokenizer, sample, bf16=False)))
    found = load_engine(exported, EngineSettings(widths=(32, 64), precision="f32")).infer(sample).scores
    column = LABELS.index("toxicity")
    assert wanted[:, column].max() - wanted[:, column].min() > 0.5  # else agreeing would mean nothing
    assert np.abs(found - wanted).max() < 0.08
    assert ((found[:, column] > 0.5) == (wanted[:, column] > 0.5)).mean() > 0.95


def test_the_calibration_is_in_the_exported_scores(trained: Path, tmp_path: Path) -> None:
    calibration = Calibration.identity(LABELS)
    calibration.offsets[:] = 30.0
    folder = tmp_path / "model"
    model, tokenizer = load_classifier(trained)
    save_classifier(model, tokenizer, folder)
    calibration.save(folder)
    export_model(folder, tmp_path / "served", [text for text, _ in texts(20)])
    settings = EngineSettings(widths=(32,), precision="f32")
    assert load_engine(tmp_path / "served", settings).infer(["anything"]).scores.min() > 0.99


def test_an_export_keeps_what_else_is_in_the_folder(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("# serving code")
    export_model(trained, tmp_path, [text for text, _ in texts(20)])
    assert (tmp_path / "model.py").read_text() == "# serving code"


def test_activations_become_int8_only_with_texts_to_calibrate_on(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="held-out texts"):
        export_model(trained, tmp_path / "served", [], int8_activations=True)
    assert not (tmp_path / "served").exists()
    export_model(trained, tmp_path / "served", [text for text, _ in texts(20)], int8_activations=True)
    assert "FakeQuantize" in (tmp_path / "served" / "model.xml").read_text()


def test_by_default_weights_alone_become_int8(exported: Path) -> None:
    graph = (exported / "model.xml").read_text()
    assert "FakeQuantize" not in graph
    assert graph.count('element_type="i8"') >= 8  # four matrices a layer, two layers


def test_weights_are_rounded_for_the_texts_that_they_will_see(trained: Path, exported: Path, tmp_path: Path) -> None:
    export_model(trained, tmp_path / "alone", [])
    sample = [text for text, _ in texts(40)]
    model, tokenizer = load_classifier(trained)
    wanted = predict_torch(model, tokenizer, sample, bf16=False)
    wanted = 1 / (1 + np.exp(-Calibration.load(trained, model.labels).apply(wanted)))
    nearest, fitted = (
        np.abs(load_engine(folder).infer(sample).scores - wanted).mean() for folder in (tmp_path / "alone", exported)
    )
    assert fitted < nearest


def test_a_saved_classifier_is_loaded_as_it_was(base: Path, tmp_path: Path) -> None:
    model, tokenizer = classifier(base)
    save_classifier(model, tokenizer, tmp_path)
    again, _ = load_classifier(tmp_path)
    assert again.labels == LABELS
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_folder_without_a_head_says_to_train_first(base: Path) -> None:
    with pytest.raises(ConfigurationError, match="train the model first"):
        load_classifier(base)


def test_a_base_model_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Give --base a folder") as error:
        prepare_base(str(tmp_path / "nowhere"), tmp_path / "base", ["a text"])
    assert "intfloat/multilingual-e5-small" in str(error.value)
    assert "from a colleague who has it: these three files are enough" in str(error.value)
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("gone", ["tokenizer.json", "model.safetensors", "config.json"])
def test_an_incomplete_base_model_is_refused_too(base: Path, tmp_path: Path, gone: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("tokenizer.json", "model.safetensors", "config.json"):
        if name != gone:
            (source / name).write_bytes((base / name).read_bytes())
    with pytest.raises(ConfigurationError, match="Give --base a folder"):
        prepare_base(str(source), tmp_path / "base", ["a text"])


def test_pruning_keeps_how_a_text_is_cut_and_embedded(base: Path, tmp_path: Path) -> None:
    sample = [text for text, _ in texts(30)]
    folder = prepare_base(str(base), tmp_path / "base", sample)
    before, after = (Tokenizer.from_file(str(place / "tokenizer.json")) for place in (base, folder))
    whole, pruned = (load_classifier(place, LABELS)[0].encoder.get_input_embeddings() for place in (base, folder))
    for text in sample:
        one, other = before.encode(text), after.encode(text)
        assert one.tokens == other.tokens
        assert torch.equal(whole(torch.tensor(one.ids)), pruned(torch.tensor(other.ids)))


def test_each_text_is_seen_once_an_epoch_and_the_order_continues_where_it_stopped() -> None:
    lengths = [3 + n % 17 for n in range(103)]
    epoch = epoch_batches(lengths, 8, seed=4, epoch=0)
    assert sorted(index for batch in epoch for index in batch) == list(range(103))
    order = batch_order(lengths, 8, seed=4)
    first = [next(order) for _ in range(20)]
    later = batch_order(lengths, 8, seed=4, first_step=15)
    assert [next(later) for _ in range(5)] == first[15:]
