"""A sample of the finished runs of an experiment, each trained again; runs of the same code share its work tree."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from boston_exp.config.invocation import for_services
from boston_exp.errors import ExpectedFailure, Fault, InvalidConfig
from boston_exp.lifecycle.reproduction import original, reproducing, trust
from boston_exp.lifecycle.reproduction.asked import Asked
from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.lifecycle.reproduction.outcome import Reproduced
from boston_exp.redaction import redact
from boston_exp.reporting import progress
from boston_exp.tracking.recorded import COMPETES, FINISHED, SCORED, History, RecordedRun, joined


@dataclass(frozen=True)
class Sampled:
    """A run, and what came of it; `refused` says why nothing did."""

    run: RecordedRun
    outcome: Reproduced | None
    refused: str = ""

    @property
    def is_same(self) -> bool:
        return self.outcome is not None and self.outcome.is_same


def reproduced(asked: Asked, history: History) -> list[Sampled]:
    """The newest first. What fails with one run, a defect included, is its line and not the end of the others.

    Raises InvalidConfig where there is no finished run.
    """
    runs = _chosen(history, asked.config.sample, asked.config.sample_seed)
    found: dict[str, Sampled] = {}
    by_code: dict[tuple[str, bytes], list[Original]] = {}
    for run in runs:
        try:
            each = original.read(history, run)
            trust.check(each, asked, show=False)
            by_code.setdefault((each.commit, each.code), []).append(each)
        except Exception as failure:
            found[run.run_id] = _refused(run, failure)
    with progress.shown() as doing:
        for group in by_code.values():
            found.update(_of_one_code(asked, history, group, doing))
    return [found[run.run_id] for run in runs]


def _of_one_code(
    asked: Asked, history: History, group: list[Original], doing: Callable[[str], None]
) -> dict[str, Sampled]:
    found: dict[str, Sampled] = {}
    try:
        with reproducing.code_of(group[0], asked) as project:
            for each in group:
                found[each.run.run_id] = _again(asked, history, each, project, doing)
    except Exception as failure:
        found |= {each.run.run_id: _refused(each.run, failure) for each in group if each.run.run_id not in found}
    return found


def _again(asked: Asked, history: History, each: Original, project: Path, doing: Callable[[str], None]) -> Sampled:
    try:
        return Sampled(each.run, reproducing.trained_again(asked, history, each, project, doing))
    except Exception as failure:
        return _refused(each.run, failure)


def _chosen(history: History, size: int, seed: int) -> list[RecordedRun]:
    where = joined(FINISHED, COMPETES, "tags.`sweep.key` IS NULL", f"tags.`{SCORED}` IS NULL")
    runs = history.newest(where)
    if not runs:
        raise InvalidConfig(Fault("There is no finished run here.", for_services("run", "evaluation=cv")))
    chosen = set(random.Random(seed).sample(range(len(runs)), min(size, len(runs))))  # noqa: S311 (no secret)
    return [run for number, run in enumerate(runs) if number in chosen]


def _refused(run: RecordedRun, failure: Exception) -> Sampled:
    if isinstance(failure, ExpectedFailure):
        says = failure.faults[0].says.partition("\n")[0]
    else:
        says = redact(f"its record is not understood ({type(failure).__name__}: {failure})".partition("\n")[0])
    return Sampled(run, None, says.replace(f"{run.run_id} ({run.name})", "it"))
