"""The best of a group: runs that differ in their seed alone are one entry, ranked by the mean of their scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from boston_exp.experiment.metrics import Metric
from boston_exp.lifecycle.evidence import AT_ONCE
from boston_exp.lifecycle.ranking.groups import Group, equals
from boston_exp.tracking.recorded import History, RecordedRun, joined
from boston_exp.training.fingerprint import DESCRIBING

SEED = "seed"  # the param
# Params that change no score; and the seed, whose runs are one entry.
DESCRIBES = (SEED, "evaluation.selection_metric", "objective.metric", *(f"data.{name}" for name in DESCRIBING))


@dataclass(frozen=True)
class Entry:
    """One configuration of a group; `runs` has the newest run of each seed, the newest first."""

    runs: tuple[RecordedRun, ...]
    column: str  # the metric that it is ranked by

    @property
    def newest(self) -> RecordedRun:
        return self.runs[0]

    @property
    def score(self) -> float:
        return self.mean(self.column)

    @property
    def seed_spread(self) -> float:
        """Standard deviation of the score over seeds (ddof=1); nan for one."""
        return float(np.std(self._values(self.column), ddof=1)) if len(self.runs) > 1 else np.nan

    def mean(self, metric: str) -> float:
        """Over the seeds; nan where a run does not have it."""
        return float(np.mean(self._values(metric)))

    def _values(self, metric: str) -> list[float]:
        return [run.metrics.get(metric, np.nan) for run in self.runs]


def column_of(group: Group, metric: Metric) -> str:
    """What its runs are ranked by: the mean over folds; the held-out score where there are none."""
    return f"cv_{metric.name}" if group.n_folds else metric.name


def ranked(history: History, group: Group, metric: Metric, top: int) -> list[Entry]:
    """The `top` best entries, the best first.

    An entry's mean is never better than its best run. So when the runs are taken from the best on, the entries that are
    at least as good as the last run taken are final.
    """
    column, sign = column_of(group, metric), -1 if metric.direction == "maximize" else 1
    size = top
    while True:
        runs = history.best(column, metric.direction, size, group.where)
        by_digest = {run.tags.get("config.digest", run.run_id): run for run in runs}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            entries = pool.map(lambda item: _entry(history, group, column, *item), by_digest.items())
            order = sorted(entries, key=lambda entry: (sign * entry.score, entry.newest.start_time))
        final = [entry for entry in order if sign * entry.score <= sign * runs[-1].metrics[column]] if runs else []
        if len(runs) < size or len(final) >= top:
            return order[:top]
        size *= 3


def without_score(history: History, group: Group, column: str, size: int) -> int:
    """How many of the `size` runs of the group do not have the metric."""
    return size - history.count(joined(group.where, f"metrics.`{column}` > -1e308"), expected=size)


def differing_params(entries: list[Entry]) -> list[str]:
    """Names of the params in which the entries differ, the seed aside.

    What only some have comes along with another model, and is no difference of its own.
    """
    names = dict.fromkeys(name for entry in entries for name in entry.newest.params)
    kept = []
    for name in names:
        values = {entry.newest.params[name] for entry in entries if name in entry.newest.params}
        if len(values) > 1 and name not in DESCRIBES and not name.endswith(("random_state", "n_jobs")):
            kept.append(name)
    return kept


def _entry(history: History, group: Group, column: str, digest: str, run: RecordedRun) -> Entry:
    if "config.digest" not in run.tags:
        return Entry((run,), column)
    same = history.newest(joined(equals("tags.`config.digest`", digest), group.asked))
    seeds: dict[str, RecordedRun] = {}
    for each in same:  # a run that was repeated counts once
        if column in each.metrics and group.has(each):
            seeds.setdefault(each.params.get(SEED, ""), each)
    return Entry(tuple(seeds.values()) or (run,), column)
