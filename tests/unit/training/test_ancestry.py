"""What a model comes from: which versions, and which data is in its weights by way of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.serving import MODEL_FILES
from services.training.ancestry import START_FILE, ancestors_of, check_start, data_changed_since, start_of, write_start
from services.training.packaging import _ancestors
from services.training.versions import Ancestor, VersionRecord, fingerprint, write_record


def entry(name: str, digest: str, train: int = 10) -> dict[str, object]:
    return {"name": name, "licence": "MIT", "train": train, "sha256": {"file": digest}}


def here(**digests: str) -> dict[str, dict[str, str]]:
    """The files of each data set, one each."""
    return {name: {"file": digest} for name, digest in digests.items()}


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A served version 3 that was itself trained on from a version 2."""
    folder = tmp_path / "review" / "3"
    folder.mkdir(parents=True)
    for name in MODEL_FILES:
        (folder / name).write_text(name)
    older = Ancestor(name="review version 2", data=[entry("old_set", "1")])
    write_record(folder, VersionRecord(model="review", base={"name": "b"}, data=[entry("set", "1")], ancestors=[older]))
    return folder


def test_the_ancestors_are_the_version_and_its_ancestors_with_all_their_data(version: Path) -> None:
    nearest, older = ancestors_of(str(version))
    assert (nearest.name, nearest.base, nearest.data) == ("review version 3", {"name": "b"}, [entry("set", "1")])
    assert nearest.files == {name: fingerprint(version / name) for name in MODEL_FILES}
    assert (older.name, older.data) == ("review version 2", [entry("old_set", "1")])


def test_a_base_model_has_no_ancestors(tmp_path: Path) -> None:
    assert ancestors_of(str(tmp_path)) == []
    assert ancestors_of("intfloat/multilingual-e5-small") == []


def test_a_run_from_before_ancestors_were_noted_has_those_of_its_base(version: Path) -> None:
    assert _ancestors({"config": {"base": str(version)}}) == ancestors_of(str(version))
    assert _ancestors({"config": {"base": str(version)}, "ancestors": []}) == []
    assert _ancestors({}) == []


def test_a_set_with_other_files_is_warned_of_and_one_with_the_same_is_not(version: Path) -> None:
    ancestors = ancestors_of(str(version))
    assert data_changed_since(ancestors, here(set="1", old_set="1", new="2")) == []
    (sentence,) = data_changed_since(ancestors, here(set="1", old_set="2"))
    assert sentence.startswith(
        "old_set: review version 2 was trained on other files of this name, so texts that are held out"
    )


def test_a_set_that_the_ancestor_only_measured_with_is_not_warned_of() -> None:
    ancestor = Ancestor(name="a", data=[entry("set", "1", train=0)])
    assert data_changed_since([ancestor], here(set="2")) == []


def test_own_examples_may_grow_and_one_sentence_says_under_which_condition() -> None:
    ancestor = Ancestor(name="review version 2", data=[entry(f"own_{n}", "1") for n in "ab"])
    (sentence,) = data_changed_since([ancestor], here(own_a="2", own_b="2"))
    assert sentence.startswith("2 files of the project's own examples have changed since review version 2, as they may")
    assert sentence.endswith("as long as it keeps its first line")


def test_a_start_that_was_kept_is_the_only_one_that_passes(version: Path, tmp_path: Path) -> None:
    base = tmp_path / "run" / "base"
    base.mkdir(parents=True)
    check_start(base, start_of("a/b"))  # nothing was kept
    write_start(base, start_of(str(version)))
    check_start(base, start_of(str(version)))
    with pytest.raises(ConfigurationError, match="started from review version 3, and is now to start from a/b"):
        check_start(base, start_of("a/b"))
    (base / START_FILE).write_text("{")
    with pytest.raises(ConfigurationError, match="is damaged"):
        check_start(base, start_of(str(version)))
