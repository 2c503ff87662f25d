"""Which runs a person means: an id or the beginning of one, `best`, a registered model, the points of a sweep."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import Fault, InvalidConfig, did_you_mean
from boston_exp.experiment.metrics import METRICS, Metric, named
from boston_exp.lifecycle.ranking import standings
from boston_exp.lifecycle.ranking.groups import same_rows
from boston_exp.process import temporary_folder
from boston_exp.tracking.destination import SOURCE
from boston_exp.tracking.recorded import MODEL_OF, MODELS, History, RecordedRun

BEST = "best"
SHOWN = 5


def metric_named(name: str) -> Metric:
    """The metric that `metric=` names, `rmse` or `cv_rmse`; raises InvalidConfig for one that no run records."""
    metric = named(name)
    if metric is None:
        known = [each.name for each in METRICS]
        says = f"metric={name} cannot be ranked by: choose one of {', '.join(known)}.{did_you_mean(name, known)}"
        raise InvalidConfig(Fault(says, again("metric=rmse")))
    return metric


def several(history: History, texts: list[str], key: str, metric: Metric) -> list[RecordedRun]:
    """The runs of a list, in its order; `best` is that of the runs with the held-out rows of the first other one.

    Raises InvalidConfig for one that cannot be found and for one that is named twice.
    """
    found = {text: identified(history, text, key, metric) for text in texts if text != BEST}
    where = same_rows(next(iter(found.values()))) if found else ""
    runs = [found[text] if text in found else identified(history, text, key, metric, where) for text in texts]
    for number, run in enumerate(runs):
        if any(run.run_id == other.run_id for other in runs[:number]):
            says = f"{run.run_id} ({run.name}) was named twice: a run is compared with another one."
            raise InvalidConfig(Fault(says, _leaderboard()))
    return runs


def identified(history: History, text: str, key: str, metric: Metric = METRICS[1], where: str = "") -> RecordedRun:
    """The run that was typed for `key`; `best` is that of the runs that meet the condition.

    Raises InvalidConfig for none or several, listing the candidates.
    """
    if text == BEST:
        entry = standings.best_run(history, metric, where)
        if entry is None:
            raise InvalidConfig(
                Fault(f"{key}=best: there is no finished run here.", for_services("run", "evaluation=cv"))
            )
        return entry.newest
    if text.startswith(MODELS):
        run_id = history.registered(text)
        run = history.run(run_id) if run_id else None
        if run is None:
            says = f"{key}={text} names no registered model that comes from a run here."
            raise InvalidConfig(Fault(says, _leaderboard()))
        return run
    found = [run for run_id in history.named(text) if (run := history.run(run_id)) is not None]
    exact = [run for run in found if run.run_id == text]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise InvalidConfig(Fault(f"{key}={text}: no run here has an id that begins so.", _leaderboard()))
    candidates = ", ".join(f"{run.run_id} ({run.name})" for run in found[:SHOWN])
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise InvalidConfig(
        Fault(f"{key}={text} is the beginning of several ids: {candidates}{more}.", again(f"{key}=<more of the id>"))
    )


def best_with_model(history: History, metric: Metric) -> RecordedRun | None:
    """What `best` names, of its seeds one whose model is stored; None where none is."""
    entry = standings.best_run(history, metric)
    return next((run for run in entry.runs if model_of(history, run)), None) if entry else None


def model_of(history: History, run: RecordedRun) -> str | None:
    """`models:/<id>` of a run's model; of the best point of a sweep, which alone is stored, that of the sweep's run.

    None where it has none that is whole.
    """
    found = history.models(run.run_id)
    parent_id = run.tags.get("mlflow.parentRunId")
    parent = history.run(parent_id) if parent_id and not found else None
    if parent is not None and parent.tags.get(MODEL_OF) in (run.run_id, run.tags.get(SOURCE, run.run_id)):
        found = history.models(parent.run_id)
    return found[0] if found else None


def points_of(history: History, parent: RecordedRun) -> str:
    """The condition, in MLflow's search syntax, that the points of a sweep meet, those included that it took from
    earlier runs. Raises InvalidConfig for a run that is no sweep."""
    if not parent.is_sweep:
        says = f"{parent.run_id} ({parent.name}) is not a sweep's run."
        raise InvalidConfig(Fault(says, again(without=["sweep"])))
    reused = _reused(history, parent.run_id)
    if not reused:
        return f"tags.mlflow.parentRunId = '{parent.run_id}'"
    ids = [run.run_id for run in history.children(parent.run_id)]
    ids += [run_id for name in reused for run_id in history.named(name)]
    return f"attributes.run_id IN ({', '.join(repr(run_id) for run_id in ids)})"


def _reused(history: History, parent_id: str) -> list[str]:
    with temporary_folder() as folder:
        file = history.artifact(parent_id, "results.csv", Path(folder))
        if file is None:
            return []
        try:
            table = pd.read_csv(file, dtype={"run_id": str})
        except ValueError:  # empty, no CSV, no text
            return []
        if not {"status", "run_id"} <= set(table.columns):
            return []
        return table.loc[table["status"] == "reused", "run_id"].dropna().tolist()


def _leaderboard() -> str:
    return for_services("leaderboard")
