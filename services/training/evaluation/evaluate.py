"""The whole evaluation of an exported model, part after part, with its progress shown.

Scores come from the serving engine, as a client would get them; only the agreement with the trained model needs torch. Promises: no
threshold is computed from test texts; a part whose data or files are missing is skipped and named; nothing but figures leaves this
module. Not promised: that nobody ever looked. The base rate that the policy's thresholds are computed for was chosen by people who saw
what it does to functional tests and identity sentences (`thresholds.BASE_RATE`), so at these thresholds the figures of those two parts
are a little kinder than those of texts that nobody saw. AUROC and the tasks do not depend on it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.errors import ConfigurationError
from services.serving import MODEL_FILES
from services.training.config import TrainConfig
from services.training.data.dataset import Dataset
from services.training.data.labels import LABELS
from services.training.data.load import load_config_data
from services.training.evaluation.agreement import AgreementResult, agree, fitting_items, torch_scores
from services.training.evaluation.baselines import BASELINES_FILE, baseline
from services.training.evaluation.faithfulness import FaithfulnessResult, faithfulness
from services.training.evaluation.functional_quality import FunctionalResult, functional_quality
from services.training.evaluation.functional_tests import read_cases
from services.training.evaluation.ground import ground_sha256
from services.training.evaluation.identity_terms import IdentityResult, judge_templates, read_templates
from services.training.evaluation.label_quality import LANGUAGES, LabelQuality, label_quality
from services.training.evaluation.outside_sets import OUTSIDE_SETS, OutsideResult, judge_outside, read_outside
from services.training.evaluation.policy_levels import PolicyLevels, load_levels
from services.training.evaluation.record import Evaluation, Findings, targets_of_findings
from services.training.evaluation.robustness import (
    EvasionResult,
    LookAlikes,
    evasion_cases,
    judge_evasion,
    judge_look_alikes,
    safe_prompts,
)
from services.training.evaluation.sampling import take, take_items
from services.training.evaluation.scoring import Scorer, encodable
from services.training.evaluation.suites import Suite
from services.training.evaluation.tasks import TASKS, TaskResult, Texts, evaluate_task, task_texts
from services.training.trained_on import check_held_out
from services.training.versions import fingerprint, read_record

__all__ = ["evaluate"]

_CVALUES = "zh_cvalues_prompts"


def evaluate(model: str, run: Path, served: Path, config: TrainConfig, suite: Suite) -> Evaluation:
    """Evaluate the exported model in `served`, which `run` trained, on the data of `config`.

    Raises:
        ConfigurationError: the model or the data is not there, or they do not fit each other.
    """
    began = time.monotonic()
    with _progress() as bar:
        overall = bar.add_task("reading and cleaning the data", total=9)
        scoring = bar.add_task("", total=None, visible=False)

        def watch(what: str, done: int, total: int) -> None:
            bar.update(scoring, description=f"scoring {what}", completed=done, total=total, visible=0 <= done < total)

        with Scorer(served, watch=watch) as score:
            dataset = load_config_data(config, run)
            check_held_out(run, dataset.manifest)
            if not dataset.test:
                raise ConfigurationError(
                    "the data has no test text, and nothing can be measured without. Mark rows with `test` in the column that "
                    "`split:` names, or leave `split:` out: then a fifth of the texts, by their hash, is for tests"
                )
            parts = _Parts(run, served, config.data.public, dataset, load_levels(), score, suite, [])

            def next_part(title: str) -> None:
                bar.update(overall, advance=1, description=title)
                if not bar.console.is_terminal:  # where no bar is shown, say at least how far it is
                    bar.console.print(title, highlight=False)

            next_part("1 labels")
            labels = parts.labels()
            next_part("2 tasks and their baselines")
            tasks = parts.tasks()
            next_part("3 functional tests")
            functional = parts.functional()
            next_part("4 identity terms")
            identity = parts.identity()
            next_part("5 evasion and over-correction")
            evasions, look_alikes = parts.evasions(), parts.look_alikes()
            next_part("6 outside sets")
            outside = parts.outside()
            next_part("7 agreement with the trained model")
            agreement = parts.agreement()
            next_part("8 explanations")
            explanation = parts.explanation()
            bar.update(overall, advance=1)
    findings = Findings(labels, tasks, functional, identity, evasions, look_alikes, outside, agreement, explanation)
    return Evaluation(
        model=model,
        run=run.name,
        suite=suite.name,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        seconds=round(time.monotonic() - began, 1),
        served={name: fingerprint(served / name).sha256 for name in MODEL_FILES},
        policy={"id": parts.levels.policy.id, "version": parts.levels.policy.version, "flags": parts.levels.flags},
        data={"sha256": ground_sha256(dataset, config.data.public, suite), "test": len(dataset.test)},
        skipped=tuple(parts.skipped),
        findings=findings,
        targets=targets_of_findings(findings),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the parts share, and a method for each."""

    run: Path
    served: Path
    public: Path | None
    dataset: Dataset
    levels: PolicyLevels
    score: Scorer
    suite: Suite
    skipped: list[str]

    def labels(self) -> tuple[LabelQuality, ...]:
        items = self.dataset.test if self.suite.labels is None else take_items(self.dataset.test, self.suite.labels)
        scores = self.score([item.text for item in items], "the test split")
        return tuple(label_quality(items, scores, self.levels.flags, self.suite))

    def tasks(self) -> tuple[TaskResult, ...]:
        found = []
        cache = self.run.parent / BASELINES_FILE
        for task in TASKS:
            train, all_valid, all_test = task_texts(task, self.dataset)
            if not all_test.texts:
                self.skipped.append(f"task {task.name}: no test texts of {task.source}")
                continue
            columns = [LABELS.index(label) for label in task.labels]
            valid, test = _some(all_valid, self.suite.tuning), _some(all_test, self.suite.task)
            figures = baseline(
                task, train, all_valid, all_test, cache, rounds=self.suite.rounds, fit=self.suite.baselines
            )
            scored = [
                (self.score(texts.texts, f"{task.name}, {split}")[:, columns], texts.classes)
                for split, texts in (("validation", valid), ("test", test))
            ]
            found.append(evaluate_task(task, scored[0], scored[1], figures, self.suite.rounds))
        return tuple(found)

    def functional(self) -> FunctionalResult | None:
        cases = list(read_cases())
        if not cases:
            self.skipped.append("functional tests: there are none")
            return None
        scores = self.score([case.text for case in cases], "functional tests")
        return functional_quality(cases, scores, self.levels.flags, self.suite.rounds)

    def identity(self) -> tuple[IdentityResult, ...]:
        found = []
        for language in LANGUAGES:
            cases = read_templates(self.public, language, self.suite.identity) if self.public else []
            if not cases:
                self.skipped.append(f"identity terms {language}: the templates are not there")
                continue
            scores = self.score([case.text for case in cases], f"identity terms, {language}")
            found.append(judge_templates(cases, scores, self.levels.flagged(scores), self.suite.rounds))
        return tuple(found)

    def evasions(self) -> tuple[EvasionResult, ...]:
        cases = evasion_cases(self.dataset.test, self.suite.evasion)
        sides = {(case.evasion, case.language, case.positive): case for case in cases}
        results = []
        for name, language in dict.fromkeys((case.evasion, case.language) for case in cases):
            scored = []
            for positive in (True, False):
                case = sides[name, language, positive]
                before = self.score([item.text for item in case.items], f"{name}, {language}")
                scored.append((case, before, self.score(case.changed, f"{name}, {language}")))
            if scored[0][0].items and scored[1][0].items:
                results.append(judge_evasion(scored[0], scored[1], self.levels.limits, self.suite.rounds))
        return tuple(results)

    def look_alikes(self) -> tuple[LookAlikes, ...]:
        sets = {
            "XSTest safe prompts (en)": safe_prompts(self.public) if self.public else [],
            "CValues questions, test (zh)": [item.text for item in self.dataset.test if item.source == _CVALUES],
        }
        found = []
        for name, texts in sets.items():
            if not texts:
                self.skipped.append(f"over-correction, {name}: not there")
                continue
            flagged = self.levels.flagged(self.score(texts, name))
            found.append(judge_look_alikes(name, flagged, self.suite.rounds))
        return tuple(found)

    def outside(self) -> tuple[OutsideResult, ...]:
        found = []
        for one in OUTSIDE_SETS:
            rows = read_outside(one, self.public, self.suite) if self.public else []
            if not rows:
                self.skipped.append(f"outside set {one.name}: not there")
                continue
            scores = self.score([text for text, _ in rows], one.name)
            found.append(judge_outside(one, rows, scores, self.suite.rounds))
        return tuple(found)

    def agreement(self) -> AgreementResult | None:
        trained = self.run / "model"
        if not (trained / "head.safetensors").is_file():
            self.skipped.append(f"agreement: {self.run.name} holds no trained model")
            return None
        export = read_record(self.run / "served")
        if export is not None and export.differing(self.served):
            self.skipped.append(
                f"agreement: {self.served} is not what {self.run.name} exported, so there is nothing to agree with"
            )
            return None
        items = fitting_items(self.dataset.test, self.served / "tokenizer.json", self.suite.agreement)
        if not items:
            self.skipped.append(
                "agreement: every test text is longer than one window, of which torch would see the start only"
            )
            return None
        texts = [encodable(item.text) for item in items]
        ours, theirs = self.score(texts, "agreement"), torch_scores(trained, texts)
        sides = [(scores, self.levels.actions(scores)) for scores in (ours, theirs)]
        return agree(LABELS, sides[0], sides[1], self.suite.rounds)

    def explanation(self) -> FaithfulnessResult | None:
        texts: list[str] = []
        for language in LANGUAGES:
            own = [i for i in self.dataset.test if i.language == language and any(t > 0.5 for t in i.targets)]
            some = take_items(own, self.suite.explained * 8)
            flagged = self.levels.flagged(self.score([item.text for item in some], "explanations")).any(axis=1)
            texts += [encodable(i.text) for i, hit in zip(some, flagged, strict=True) if hit][: self.suite.explained]
        found = faithfulness(self.served, texts, self.levels.limits, self.suite.rounds) if texts else None
        if found is None:
            self.skipped.append("explanations: the model flags none of the test texts")
        return found


def _some(texts: Texts, most: int | None) -> Texts:
    if most is None:
        return texts
    rows = take(list(zip(texts.texts, texts.classes.tolist(), strict=True)), most, lambda row: row[0])
    return Texts([text for text, _ in rows], np.array([number for _, number in rows], np.int64))


@contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        yield bar
