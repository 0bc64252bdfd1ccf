"""The version policy and the labels in a `config.pbtxt`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ConfigurationError
from services.training.model_config import chosen_version, labels_of, with_chosen_version

_PLAIN = 'name: "m"  # version_policy: { specific: { versions: [ 9 ] } }\nbackend: "python"\n'
_NESTED = 'parameters { key: "version_policy" value { string_value: "version_policy { specific { versions: 8 } }" } }\n'


@pytest.mark.parametrize(
    "line",
    [
        "version_policy: { specific: { versions: [ 3 ] } }",
        "version_policy { specific { versions: 3 } }",
        "version_policy: {\n  specific {  # the live one }\n    versions: [3]\n  }\n}",
    ],
)
def test_the_version_that_a_policy_names_is_read_in_every_spelling(line: str) -> None:
    assert chosen_version(_PLAIN + _NESTED + line + "\n") == 3


@pytest.mark.parametrize(
    "line", ["", "version_policy: { latest: { num_versions: 1 } }", "version_policy { latest {} }"]
)
def test_without_a_named_version_the_choice_is_triton_s(line: str) -> None:
    assert chosen_version(_PLAIN + _NESTED + line) is None


@pytest.mark.parametrize(
    "policy", ["all {}", "latest { num_versions: 2 }", "specific { versions: [ 1, 2 ] }", "specific { versions: [] }"]
)
def test_a_policy_for_several_versions_is_refused_with_what_to_write(policy: str) -> None:
    with pytest.raises(ConfigurationError, match=r"version_policy: \{ specific"):
        chosen_version(f"{_PLAIN}version_policy {{ {policy} }}\n")


def test_an_open_brace_is_an_error_and_not_an_endless_policy() -> None:
    with pytest.raises(ConfigurationError, match="braces"):
        chosen_version("version_policy { specific { versions: 3 }")


@given(first=st.integers(1, 10**6), second=st.integers(1, 10**6), end=st.sampled_from(["", "\n", "  # end"]))
def test_what_is_written_is_read_back_and_the_rest_stays(first: int, second: int, end: str) -> None:
    once = with_chosen_version(_PLAIN + _NESTED + end, first)
    twice = with_chosen_version(once, second)
    assert chosen_version(once) == first
    assert chosen_version(twice) == second
    assert twice.startswith(_PLAIN + _NESTED)
    assert len(twice.splitlines()) == len(once.splitlines())


def test_a_policy_in_the_middle_is_replaced_where_it_stands() -> None:
    config = f"{_PLAIN}version_policy: {{ latest: {{ num_versions: 1 }} }}\nmax_batch_size: 8\n"
    assert with_chosen_version(config, 2) == (
        f"{_PLAIN}version_policy: {{ specific: {{ versions: [ 2 ] }} }}\nmax_batch_size: 8\n"
    )


def test_labels_are_those_of_the_parameter() -> None:
    config = (
        '# key: "labels" value { string_value: "x" }\nparameters { key: "labels" value { string_value: "a, b,c" } }'
    )
    assert labels_of(config) == ("a", "b", "c")
    assert labels_of('name: "m"') == ()


def test_the_shipped_review_model_names_its_live_version() -> None:
    folder = Path(__file__).resolve().parents[3] / "model_repo" / "review"
    chosen = chosen_version((folder / "config.pbtxt").read_text(encoding="utf-8"))
    assert (folder / str(chosen) / "model.py").is_file()
