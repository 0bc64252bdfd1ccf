"""From tables and sources to training texts: what is refused, what is left out, and what must never get in."""

from __future__ import annotations

import csv
import json
import math
import sys
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from datasketch import MinHash

from services.errors import ConfigurationError
from services.training.commands import _warn_of_empty_classes
from services.training.config import DataConfig, PostgresConfig, TableConfig, TrainConfig, load_config
from services.training.data.dataset import Dataset, load_dataset
from services.training.data.labels import LABELS
from services.training.data.load import load_config_data
from services.training.data.near_duplicates import HeldOut, _grams, exact_key
from services.training.data.own_examples import EXAMPLES, own_sources
from services.training.data.query_rows import keep_rows, kept_rows
from services.training.data.sources import SOURCES, Example, Source
from services.training.data.tables import table_source

pytestmark = pytest.mark.timeout(600)

#: Licences whose data may enter weights that others may use commercially; each asks at most for attribution.
_ALLOWED = {"Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "Apache-2.0 and MIT"}
_HATE = LABELS.index("hate")


def table(path: Path, rows: list[dict[str, object]], **options: object) -> TableConfig:
    """A CSV file and its entry in a configuration."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return TableConfig.model_validate({"path": path, **options})


def loaded(*tables: TableConfig) -> Dataset:
    data = DataConfig(own_examples=False, tables=tables, evasion_share=0.0)
    return load_config_data(TrainConfig(data=data), Path("no-run"))


def made(name: str, examples: list[Example], *, trainable: bool = True) -> tuple[Source, Path]:
    """A source that needs no file."""

    def read(_folder: Path) -> Iterator[Example]:
        yield from examples

    return Source(name, "en", "MIT", (), read, 1000, "official", trainable=trainable), Path()


def test_a_table_becomes_training_texts_with_the_labels_it_has(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": f"sentence number {n}", "hate": n % 2} for n in range(40)]
    dataset = loaded(table(tmp_path / "own.csv", rows))
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == 40
    item = dataset.train[0]
    assert item.targets[_HATE] == int(item.text.split()[-1]) % 2
    assert all(math.isnan(value) for place, value in enumerate(item.targets) if place != _HATE)


def test_a_set_is_shown_as_often_as_the_configuration_says(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "said again and again", "hate": 0, "split": "train"}]
    one = table(tmp_path / "own.csv", rows, split="split")

    def shown(repeats: dict[str, int]) -> int:
        data = DataConfig(own_examples=False, tables=(one,), evasion_share=0.0, repeats=repeats)
        return len(load_config_data(TrainConfig(data=data), Path("no-run")).train)

    assert (shown({}), shown({"own": 4})) == (1, 4)
    with pytest.raises(ConfigurationError, match=r"data\.repeats names sets .*: nobody"):
        shown({"nobody": 2})


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "null", "?", " "])
def test_an_open_cell_leaves_the_label_unknown_and_is_no_negative(tmp_path: Path, cell: str) -> None:
    rows: list[dict[str, object]] = [{"text": "somebody decides later", "hate": cell, "split": "train"}]
    dataset = loaded(table(tmp_path / "own.csv", rows, split="split"))
    assert math.isnan(dataset.train[0].targets[_HATE])


@pytest.mark.parametrize("cell", ["2", "-0.1", "perhaps"])
def test_a_cell_that_is_no_probability_names_row_and_column(tmp_path: Path, cell: str) -> None:
    rows: list[dict[str, object]] = [{"text": "fine", "hate": 0}, {"text": "odd", "hate": cell}]
    with pytest.raises(ConfigurationError, match=r"own\.csv, row 3, column hate"):
        loaded(table(tmp_path / "own.csv", rows))


def test_a_file_in_another_encoding_says_how_to_name_it(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes("text,hate\n你好，世界,0\n".encode("gb18030"))
    with pytest.raises(ConfigurationError, match="`encoding:`, for example gb18030"):
        loaded(TableConfig(path=path))
    rows = loaded(TableConfig(path=path, encoding="gb18030"))
    assert [item.text for item in (*rows.train, *rows.valid, *rows.test)] == ["你好，世界"]


def test_an_encoding_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("text,hate\nfine,0\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"own\.csv: there is no encoding 'utf-88'"):
        loaded(TableConfig(path=path, encoding="utf-88"))


@pytest.mark.parametrize("name", ["own.csv", "own.jsonl"])
def test_utf_8_read_as_utf_16_says_how_to_name_the_encoding(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("text,hate\nfine,0\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"{name} is not utf-16 \(UTF-16 stream .*`encoding:`"):
        loaded(TableConfig(path=path, encoding="utf-16"))


def test_half_a_surrogate_pair_names_its_row(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "fine", "hate": 0}\n{"text": "half \\ud83d", "hate": 0}\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"own\.jsonl, row 2: the text holds half of a surrogate pair"):
        loaded(TableConfig(path=path))


def test_a_table_that_is_not_there_is_not_taken_for_a_public_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the table .*gone\.csv is not there: mend its `path:`") as error:
        loaded(TableConfig(path=tmp_path / "gone.csv"))
    assert "public" not in str(error.value)


def test_a_json_line_may_leave_a_label_out_and_another_may_have_it(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    lines = [{"text": f"words {n}", ("spam", "toxicity")[n % 2]: 1} for n in range(40)]
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    (entry,) = loaded(TableConfig(path=path)).manifest
    assert set(entry.positives) == {"spam", "toxicity"}
    with pytest.raises(ConfigurationError, match=r"own\.jsonl has no column rude; it has: text, spam"):
        loaded(TableConfig(path=path, labels={"toxicity": "toxicity", "harassment": "rude"}))
    with pytest.raises(ConfigurationError, match="no column 'words'"):
        loaded(TableConfig(path=path, text="words"))


@pytest.mark.parametrize("stray", ['"so he said,1', '"so" he said,1'])
def test_a_stray_quotation_mark_in_a_csv_file_swallows_no_rows(tmp_path: Path, stray: str) -> None:
    path = tmp_path / "own.csv"
    rows = [f"words {n},{n % 2}" for n in range(40)]
    path.write_text("\n".join(["text,toxicity", *rows[:7], stray, *rows[7:]]), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"own\.csv, row 9.* is not CSV"):
        loaded(TableConfig(path=path))


def test_a_table_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = table(tmp_path / "own.csv", [{"text": "a", "toxicity": 1}])

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)  # root may read every file
    with pytest.raises(ConfigurationError, match=r"own\.csv cannot be read: Permission denied"):
        loaded(config)


def test_rows_of_a_query_are_fetched_once_and_then_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = PostgresConfig(name="moderated", query="SELECT text, toxicity FROM comments")
    config = TrainConfig(data=DataConfig(own_examples=False, postgres=(query,), evasion_share=0.0))
    monkeypatch.delenv("TIDEGATE_POSTGRES_DSN", raising=False)
    with pytest.raises(ConfigurationError, match="the rows that the run was trained on"):
        load_config_data(config, tmp_path)
    with pytest.raises(ConfigurationError, match="say where the rows are with TIDEGATE_POSTGRES_DSN"):
        load_config_data(config, tmp_path, fetch=True)
    rows = [{"text": f"words {n}", "toxicity": Decimal(n % 2)} for n in range(40)]
    keep_rows(query, kept_rows(tmp_path, query), lambda _: iter(rows))
    dataset = load_config_data(config, tmp_path, fetch=True)
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == 40
    assert list(dataset.manifest[0].sha256) == [kept_rows(tmp_path, query).name]


def test_rows_that_cannot_be_used_are_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = PostgresConfig(query="SELECT text, toxicity FROM comments")
    config = TrainConfig(data=DataConfig(own_examples=False, postgres=(query,), evasion_share=0.0))
    monkeypatch.setenv("TIDEGATE_POSTGRES_DSN", "postgresql://nobody@127.0.0.1:1/none")
    rows: list[dict[str, object]] = [{"text": f"words {n}", "toxicity": "maybe"} for n in range(40)]
    monkeypatch.setattr("services.storage.stream_rows", lambda *_: iter(rows))
    with pytest.raises(ConfigurationError, match="'maybe' is not 0, 1, a probability"):
        load_config_data(config, tmp_path, fetch=True)
    for row in rows:
        row["toxicity"] = 1
    assert load_config_data(config, tmp_path, fetch=True).train


def test_an_unknown_label_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: {tables: [{path: own.csv, labels: {rudeness: column}}]}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="there is no label rudeness; known: toxicity, hate"):
        load_config(path)


def test_a_table_without_a_column_named_like_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no column is named like a label"):
        loaded(table(tmp_path / "own.csv", [{"text": "x", "rudeness": 1}]))


def test_a_label_without_positive_texts_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"text": f"sentence number {n}", "hate": 0} for n in range(20)]
    _warn_of_empty_classes(loaded(table(tmp_path / "own.csv", rows)))
    said = capsys.readouterr().err
    assert "hate: no positive text; its score will mean nothing" in said
    assert "spam: no positive text" in said


@pytest.mark.slow
def test_a_table_of_200_000_rows_streams_in_bounded_memory(tmp_path: Path) -> None:
    path, body = tmp_path / "large.csv", "so many words that a row is as long as a post usually is " * 3
    with path.open("w", encoding="utf-8") as file:
        file.write("text,hate,split\n")
        file.writelines(f"{number} {body},{number % 2},train\n" for number in range(200_000))
    source = table_source(TableConfig(path=path, cap=500, split="split"))
    tracemalloc.start()
    try:
        kept = list(source.read(tmp_path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(kept) == 500
    assert path.stat().st_size > 30e6
    assert peak < 3e6
    numbers = [int(example.text.split()[0]) for example in kept]
    assert max(numbers) > 150_000  # kept from the whole file, not from its beginning
    assert min(numbers) < 50_000


def test_no_held_out_text_and_no_near_copy_of_one_is_trained_on() -> None:
    held = "this sentence is held out and nobody may learn it by heart before the examination"
    copies = [
        held,
        held.upper(),
        f"  {held}  ",
        f"{held}!",
        held.replace("nobody", "no body"),
        held.replace(" ", "\u3000"),
    ]
    train = [Example(text, {"hate": 1.0}, "train") for text in (*copies, "an entirely different sentence")]
    dataset = load_dataset(
        [made("train_set", train), made("test_set", [Example(held, {"hate": 1.0}, "test")], trainable=False)],
        evasion_share=0.0,
    )
    assert [item.text for item in dataset.train] == ["an entirely different sentence"]


def test_held_out_texts_are_indexed_in_bounded_memory_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"{n} {'so many different words that a text is as long as a post ' * 3}{n * n}" for n in range(600)]
    held, asked = words[::2], [f"{word}!" for word in words] + [word[:60] for word in words]
    tracemalloc.start()
    try:
        index = HeldOut(held)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        found = index.contains(asked)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    grams = sum(sys.getsizeof(gram) for text in asked for gram in _grams(exact_key(text)))
    assert peak < grams / 10
    generator = MinHash.generator
    monkeypatch.setattr(MinHash, "generator", lambda sets, **options: generator(list(sets), **options))
    assert HeldOut(held).contains(asked) == found
    assert 0 < sum(found) < len(found)


def test_nothing_of_the_own_examples_is_in_two_splits() -> None:
    dataset = load_dataset([(source, EXAMPLES) for source in own_sources()], evasion_share=0.0)
    assert dataset.train
    assert dataset.test
    held_out = HeldOut(item.text for item in (*dataset.valid, *dataset.test))
    assert not any(held_out.contains([item.text for item in dataset.train]))
    assert not {exact_key(i.text) for i in dataset.valid} & {exact_key(i.text) for i in dataset.test}


def test_a_source_for_evaluation_only_reaches_no_training_list() -> None:
    secret = [
        Example(f"only to be scored, number {n}", {"hate": 1.0}, split) for n in range(9) for split in ("train", "test")
    ]
    own = [Example(f"free to learn, number {n}", {"hate": 0.0}, "train") for n in range(9)]
    dataset = load_dataset([made("secret", secret, trainable=False), made("own", own)], evasion_share=0.0)
    assert {item.source for item in dataset.train} == {"own"}
    entry = next(entry for entry in dataset.manifest if entry.name == "secret")
    assert (entry.trainable, entry.train, entry.positives) == (False, 0, {})


def test_every_source_that_is_trained_on_has_a_licence_that_allows_it() -> None:
    sources = [*SOURCES, *own_sources()]
    assert {source.licence for source in sources if source.trainable} <= _ALLOWED


def test_the_manifest_of_the_data_shows_that_only_allowed_licences_were_trained_on() -> None:
    dataset = load_dataset(
        [
            *((source, EXAMPLES) for source in own_sources()),
            made("scored", [Example("x y", {"hate": 1.0}, "train")], trainable=False),
        ]
    )
    trained = [entry for entry in dataset.manifest if entry.train]
    assert trained
    assert all(entry.trainable and entry.licence in _ALLOWED for entry in trained)
    assert {item.source for item in dataset.train} == {entry.name for entry in trained}
    assert all(len(digest) == 64 for entry in trained for digest in entry.sha256.values())


def test_a_data_set_that_is_not_there_names_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"data set {SOURCES[0].name}: .* is missing"):
        load_config_data(TrainConfig(data=DataConfig(public=tmp_path, own_examples=False)), tmp_path)
