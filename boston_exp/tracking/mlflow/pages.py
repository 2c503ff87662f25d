"""What MLflow's own pages show of an experiment: which runs in which order, which columns, and its description.

MLflow 3.17 opens an experiment as a dashboard of language models. The address of a list of runs can name a view, which
is a tag of the experiment. Tried in a browser with 3.17.2: tests/integration/test_pages.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from boston_exp.config.invocation import for_services, quoted, was_typed
from boston_exp.config.schema import EXPERIMENT
from boston_exp.experiment.metrics import direction
from boston_exp.redaction import redact
from boston_exp.tracking.destination import NOTE
from boston_exp.tracking.mlflow.failures import written_meanwhile

VIEW = "mlflow.sharedViewState."  # and the key of a view
NO_SWEEPS = "tags.`sweep.key` IS NULL"  # a sweep's run has the scores of its best point, which is a run of its own
LONGEST = 5000  # characters of an experiment's tag, in databases that are strict
NAMED = 80  # runs that the condition of a view can name, which leaves room for the columns
NAME, CREATED, DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"  # columns that are always there
WIDTHS = {NAME: 300, CREATED: 130, DURATION: 80}  # pixels; MLflow's own 190 for a name cut it after 19 characters


@dataclass(frozen=True)
class View:
    """A list of runs: `key` names it in an address, the best by the first of its columns are at the top."""

    key: str
    metric: str
    columns: Sequence[str]
    where: str = NO_SWEEPS

    @property
    def tag(self) -> str:
        return VIEW + self.key

    @property
    def state(self) -> str:
        """As MLflow's pages read it."""
        return json.dumps(
            {
                "orderByKey": f"metrics.`{self.metric}`",
                "orderByAsc": direction(self.metric) == "minimize",
                "selectedColumns": list(self.columns),
                "columnOrder": [NAME, CREATED, *self.columns, DURATION],
                "columnWidths": WIDTHS | dict.fromkeys(self.columns, 110),
                "lifecycleFilter": "Active",
                "searchFilter": self.where,
                "runsExpanded": {},
                "runsPinned": [],
                "runsHidden": [],
            }
        )


def of_runs(metric: str) -> View:
    """All runs of an experiment that have a model, the best by this metric first."""
    plain = metric.removeprefix("cv_")
    metrics = dict.fromkeys([metric, *([f"{metric}_std"] if metric != plain else []), plain, "r2_score"])
    return View(metric, metric, [*(f"metrics.`{name}`" for name in metrics), "tags.`model_type`"])


def of_sweep(run_id: str, metrics: Sequence[str], params: Iterable[str], points: Sequence[str]) -> View:
    """The points of a sweep, with what was swept; `points` are the ids of all of them where some are other runs'."""
    shown = dict.fromkeys(name for metric in metrics for name in (metric, metric.removeprefix("cv_")))
    where = f"tags.`mlflow.parentRunId` = '{run_id}'"
    if points:
        where = f"attributes.run_id IN ({', '.join(map(repr, points))})"
    columns = [*(f"metrics.`{name}`" for name in shown), *(f"params.`{name}`" for name in params)]
    return View(key_of_sweep(run_id), metrics[0], columns, where)


def key_of_sweep(run_id: str) -> str:
    """Of the view of its points."""
    return f"sweep-{run_id[:8]}"


def share(client: MlflowClient, experiment: Experiment, views: Iterable[View]) -> None:
    """Give an experiment its description and these views, where it has not got them; what a person wrote stays."""
    put(client, experiment, {NOTE: described(experiment), **{view.tag: view.state for view in views}})


def put(client: MlflowClient, experiment: Experiment, tags: Mapping[str, str]) -> None:
    """Set tags of an experiment that it does not have; a description is kept as it is."""
    for name, value in tags.items():
        kept = experiment.tags.get(name) == value or (name == NOTE and NOTE in experiment.tags)
        if kept or len(value) > LONGEST:  # a view is no reason to fail
            continue
        try:
            client.set_experiment_tag(experiment.experiment_id, name, redact(value))
        except MlflowException as error:
            if not written_meanwhile(error):
                raise
        experiment.tags[name] = value


def described(experiment: Experiment) -> str:
    """How to ask an experiment, and what is in it, in Markdown. MLflow shows the first line until it is unfolded."""
    own = experiment.name == EXPERIMENT or was_typed("tracking.experiment_name")
    named = [] if own else [f"tracking.experiment_name={quoted(experiment.name)}"]
    return "\n".join(
        [
            f"**Which model?** `{for_services('leaderboard', *named)}`",
            "",
            f"- Is it better, and how sure is that: `{for_services('compare', *named, 'runs=[best,<id>]')}`",
            f"- Once more, with a change: `{for_services('run', 'base=<id>', 'model.max_depth=20')}`",
            "",
            "Regression runs, recorded by boston_exp. A run with `cv_` metrics was scored on folds of its training "
            "rows: choose by these; the scores of held-out rows confirm. A sweep has a run of its own, with its points "
            "below it, the figures of the search and the best model.",
        ]
    )


def address(server: str, experiment_id: str, key: str) -> str:
    """The list of runs of an experiment, with a view."""
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={key}"
