from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.training.data.labels import LABELS

pytest.importorskip("datasketch")

from services.training.data import identity_templates
from services.training.data.dataset import Item
from services.training.data.folds import fold_of
from services.training.evaluation.identity_terms import Template, judge_templates, read_templates
from services.training.evaluation.outside_sets import OUTSIDE_SETS, judge_outside, read_outside
from services.training.evaluation.robustness import evasion_cases, judge_evasion, safe_prompts
from services.training.evaluation.sampling import take, take_evenly, take_items
from services.training.evaluation.suites import SUITES, suite_named

Array = NDArray[np.float64]

STANDARD = suite_named("standard")


def _csv(path: Path, *rows: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _item(text: str, source: str = "a", language: str = "en", **targets: float) -> Item:
    return Item(text, tuple(targets.get(label, float("nan")) for label in LABELS), source, language)


def _row(template: str, phrase: str, toxicity: str = "nontoxic") -> dict[str, str]:
    return {"template": template, "toxicity": toxicity, "phrase": phrase}


def test_a_sample_does_not_depend_on_the_order_of_the_texts() -> None:
    texts = [f"text {i}" for i in range(50)]
    assert take(texts, 10, str) == take(texts[::-1], 10, str)
    assert len(take(texts, None, str)) == 50


def test_groups_take_turns() -> None:
    rows = [*[("big", i) for i in range(90)], *[("small", i) for i in range(3)]]
    taken = take_evenly(rows, 6, str, lambda row: row[0])
    assert sorted(name for name, _ in taken) == ["big"] * 3 + ["small"] * 3
    assert len(take_items([_item(str(i)) for i in range(9)], 4)) == 4


def _term(language: str, held_out: bool) -> str:  # noqa: FBT001
    """A made-up identity that the hash puts on the wanted side."""
    stem = "martian" if language == "en" else "火星人"
    return next(t for n in range(99) if (fold_of(t := f"{stem}{n}") != "train") == held_out)


def test_templates_carry_the_identity_that_they_name_and_only_unseen_ones_in_unseen_words_are_measured(
    tmp_path: Path,
) -> None:
    measured, trained = _term("en", held_out=True), _term("en", held_out=False)
    old = next(t for n in range(99) if fold_of(t := f"{'old ' * (n + 1)}{measured}") != "train")
    folder = tmp_path / "multi_bias_templates"
    _csv(
        folder / "en_sentence_templates.csv",
        *[_row("am_hate_adj", f"I am {term}") for term in (measured, old, trained)],
        _row("being_adj", f"Being {old} is great"),
        _row("being_adj", f"Being {measured} is great"),
        _row("being_adj", f"Being {measured}ish is great"),
        _row("being_adj", f"Being {measured} is awful", "toxic"),
        _row("being_adj", f"Being {trained} is great"),
        _row("verb_adj", f"hug {measured}"),
        _row("verb_adj", f"hug {trained}"),
        _row("verb_adj", f"kill {trained}", "toxic"),
        _row("name_adj", "Alex is great"),
    )
    found = {(case.text, case.term) for case in read_templates(tmp_path, "en", 100)}
    assert found == {
        (f"I am {measured}", measured),
        (f"I am {old}", old),
        (f"Being {old} is great", old),
        (f"Being {measured} is great", measured),
    }
    learned = {(s.text, s.toxic) for s in identity_templates.read(folder, "en") if not s.held_out}
    assert learned == {(f"hug {trained}", False), (f"kill {trained}", True)}


def test_chinese_templates_lose_their_measure_word(tmp_path: Path) -> None:
    term = _term("zh", held_out=True)
    _csv(
        tmp_path / "multi_bias_templates" / "zh-cn_sentence_templates.csv",
        _row("am_identity", f"我是一名{term}"),
        _row("being_identity", f"作为{term}很好"),
    )
    assert {case.term for case in read_templates(tmp_path, "zh", 100)} == {term}


def test_the_spread_is_over_terms(tmp_path: Path) -> None:
    terms = [t for n in range(99) if fold_of(t := f"term{n}") != "train"][:2]
    _csv(
        tmp_path / "multi_bias_templates" / "en_sentence_templates.csv",
        *[_row("am_hate_adj", f"I am {term}") for term in terms],
    )
    cases = read_templates(tmp_path, "en", 100)
    scores = np.array([[0.9 if case.term == terms[0] else 0.1] for case in cases])
    found = judge_templates(cases, scores, scores > 0.5, rounds=10)
    assert (found.false_positives.value, found.spread, found.widest) == (0.5, 0.5, 1.0)
    assert [(rate.term, rate.rate) for rate in found.worst] == [(terms[0], 1.0), (terms[1], 0.0)]


def test_the_interval_is_as_wide_as_two_terms_make_it_however_many_sentences_they_fill() -> None:
    cases = [Template(f"sentence {n}", ("one", "other")[n % 2], "en") for n in range(200)]
    flagged = np.array([[case.term == "one"] for case in cases])
    found = judge_templates(cases, flagged.astype(float), flagged, rounds=100).false_positives
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_sets_that_are_not_there_are_empty(tmp_path: Path) -> None:
    assert read_templates(tmp_path, "en", 10) == []
    assert safe_prompts(tmp_path) == []
    assert all(read_outside(one, tmp_path, STANDARD) == [] for one in OUTSIDE_SETS)


def test_every_outside_set_is_read_with_both_sides(tmp_path: Path) -> None:
    spam = tmp_path / "zh_tg_spam"
    spam.mkdir()
    for name in ("train.csv", "eval.csv"):
        (spam / name).write_text(f"target,input\n0,hello, {name}\n1,buy, now {name}\nbroken line\n", encoding="utf-8")
    risk = tmp_path / "zh_selfharm_socialcd"
    risk.mkdir()
    for name, level in (("suicide_train.jsonl", "高自杀风险"), ("suicide_val.jsonl", "低自杀风险")):
        messages = [{"role": "user", "content": name}, {"role": "assistant", "content": level}]
        (risk / name).write_text(json.dumps({"messages": messages}) + "\n", encoding="utf-8")
    posts = ({"TEXT": "nothing", "label": "0"}, {"TEXT": "an insult", "label": "1"})
    _csv(tmp_path / "zh_cold" / "test.csv", *posts)
    for name, mark in (("training-set.csv", "1"), ("testing-set.csv", "0")):
        _csv(tmp_path / "en_sdcnl_suicide" / name, {"title": name, "selftext": "body", "is_suicide": mark})
    _csv(
        tmp_path / "en_hatemoji" / "HatemojiCheck__test.csv",
        {"text": "x", "label_gold": "1"},
        {"text": "y", "label_gold": "0"},
    )
    for one in OUTSIDE_SETS:
        rows = read_outside(one, tmp_path, STANDARD)
        assert {positive for _, positive in rows} == {True, False}
        scores = np.zeros((len(rows), len(LABELS)))
        scores[:, LABELS.index(one.label)] = [float(positive) for _, positive in rows]
        assert judge_outside(one, rows, scores, rounds=10).auroc.value == pytest.approx(1.0)
    commas = {text for text, _ in read_outside(OUTSIDE_SETS[1], tmp_path, STANDARD)}
    assert "hello, train.csv" in commas
    risky = dict(read_outside(OUTSIDE_SETS[2], tmp_path, STANDARD))
    assert risky == {"suicide_train.jsonl": True, "suicide_val.jsonl": True, "nothing": False}


def test_safe_prompts_are_the_safe_ones(tmp_path: Path) -> None:
    _csv(
        tmp_path / "en_xstest" / "xstest_prompts.csv",
        {"prompt": "kill a process", "label": "safe"},
        {"prompt": "other", "label": "unsafe"},
    )
    assert safe_prompts(tmp_path) == ["kill a process"]


ITEMS = [
    *[_item(f"some awful words number {i}", toxicity=1, spam=0) for i in range(6)],
    *[_item(f"some pleasant words number {i}", toxicity=0, spam=0) for i in range(6)],
    _item("undecided words in here", toxicity=0.4),
]


def test_evasions_meet_the_same_number_of_positives_and_clean_texts() -> None:
    cases = {(case.evasion, case.positive): case for case in evasion_cases(ITEMS, 4) if case.language == "en"}
    assert {name for name, _ in cases} >= {"leetspeak", "emoji", "invisible"}
    for case in cases.values():
        assert all(before.text != after for before, after in zip(case.items, case.changed, strict=True))
        assert not any("undecided" in item.text for item in case.items)
    assert len(cases["emoji", True].items) == len(cases["emoji", False].items) == 4


def test_evasions_are_the_same_each_time() -> None:
    assert [case.changed for case in evasion_cases(ITEMS, 4)] == [case.changed for case in evasion_cases(ITEMS, 4)]


def test_texts_are_surrounded_by_those_that_are_known_to_carry_no_label() -> None:
    harmless = Item("lunch is at one", (0.0,) * len(LABELS), "a", "en")
    cases = {case.positive: case for case in evasion_cases([*ITEMS, harmless], 4) if case.evasion == "surrounded"}
    assert len(cases[True].items) == len(cases[False].items) == 4
    for item, changed in zip(cases[True].items, cases[True].changed, strict=True):
        assert item.text in changed
        assert set(changed.replace(item.text, "").replace("lunch is at one", "")) <= {" ", "\n"}
    assert "surrounded" not in {case.evasion for case in evasion_cases(ITEMS, 4)}


def test_lost_score_recall_and_false_positives_by_hand() -> None:
    cases = {(case.evasion, case.positive): case for case in evasion_cases(ITEMS, 4) if case.language == "en"}
    limits = np.full(len(LABELS), 0.5)

    def scores(*toxicity: float) -> Array:
        table = np.zeros((4, len(LABELS)))
        table[:, LABELS.index("toxicity")] = toxicity
        table[:, LABELS.index("hate")] = 0.99  # not known of these texts: never counts
        return table

    found = judge_evasion(
        (cases["emoji", True], scores(0.9, 0.9, 0.9, 0.4), scores(0.9, 0.5, 0.3, 0.4)),
        (cases["emoji", False], scores(0.1, 0.1, 0.1, 0.6), scores(0.7, 0.1, 0.1, 0.6)),
        limits,
        rounds=10,
    )
    assert found.drop.value == pytest.approx((0 + 0.4 + 0.6 + 0) / 4)
    assert (found.recall_before, found.recall_after.value) == (0.75, 0.5)
    assert (found.false_positives_before, found.false_positives_after.value) == (0.25, 0.5)


def test_the_suites_have_different_names() -> None:
    assert len({suite.name for suite in SUITES}) == len(SUITES)
