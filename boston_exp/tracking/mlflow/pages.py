"""What MLflow's own pages show of an experiment: which runs in which order, which columns, and its description.

MLflow 3.17 opens an experiment as a dashboard of language models. The address of a list of runs can name a view that is
shared in a tag of the experiment: https://mlflow.org/docs/latest/ml/tracking/#tracking-ui
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Experiment

from boston_exp.config.invocation import for_services, quoted
from boston_exp.config.schema import EXPERIMENT
from boston_exp.redaction import redact
from boston_exp.tracking.destination import NOTE

VIEW = "mlflow.sharedViewState."  # and the key of a view
NO_SWEEPS = "tags.`sweep.key` IS NULL"  # a sweep's run has the scores of its best point, which is a run of its own
NAMED = 100  # runs that a view can name: a tag of an experiment has at most 5,000 characters


@dataclass(frozen=True)
class View:
    """A list of runs: `key` names it in an address."""

    key: str
    order_by: str  # metric
    ascending: bool
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
                "orderByKey": f"metrics.`{self.order_by}`",
                "orderByAsc": self.ascending,
                "selectedColumns": list(self.columns),
                "lifecycleFilter": "Active",
                "searchFilter": self.where,
                "runsExpanded": {},
                "runsPinned": [],
                "runsHidden": [],
            }
        )


def of_runs(metric: str, ascending: bool) -> View:
    """All runs of an experiment that have a model, the best by this metric first."""
    plain = metric.removeprefix("cv_")
    metrics = dict.fromkeys([metric, *([f"{metric}_std"] if metric != plain else []), plain, "r2_score", "mae"])
    columns = [*(f"metrics.`{name}`" for name in metrics), "tags.`model_type`", "attributes.`Created`"]
    return View(metric, metric, ascending, columns)


def of_sweep(
    run_id: str, metrics: Sequence[str], ascending: bool, params: Iterable[str], points: Sequence[str]
) -> View:
    """The points of a sweep, with what was swept; `points` are the ids of all of them where some are other runs'."""
    shown = dict.fromkeys(name for metric in metrics for name in (metric, metric.removeprefix("cv_")))
    columns = [*(f"metrics.`{name}`" for name in shown), *(f"params.`{name}`" for name in params)]
    where = f"tags.`mlflow.parentRunId` = '{run_id}'"
    if points:
        where = f"attributes.run_id IN ({', '.join(map(repr, points))})"
    return View(key_of_sweep(run_id), metrics[0], ascending, [*columns, "attributes.`Created`"], where)


def key_of_sweep(run_id: str) -> str:
    """Of the view of its points."""
    return f"sweep-{run_id[:8]}"


def share(client: MlflowClient, experiment: Experiment, views: Iterable[View]) -> None:
    """Give an experiment its description and these views, where it has not got them; what a person wrote stays."""
    wanted = {NOTE: described(experiment), **{view.tag: view.state for view in views}}
    put(client, experiment, wanted)


def put(client: MlflowClient, experiment: Experiment, tags: Mapping[str, str]) -> None:
    """Set tags of an experiment that it does not have; a description is kept as it is."""
    for name, value in tags.items():
        if experiment.tags.get(name) != value and not (name == NOTE and NOTE in experiment.tags):
            client.set_experiment_tag(experiment.experiment_id, name, redact(value))
            experiment.tags[name] = value


def described(experiment: Experiment) -> str:
    """What is in an experiment, and how to ask it, in Markdown."""
    named = [] if experiment.name == EXPERIMENT else [f"experiments=[{quoted(experiment.name)}]"]
    return "\n".join(
        [
            f"**{experiment.name}**: regression runs, recorded by boston_exp. A run with `cv_` metrics was scored on "
            "folds of its training rows: choose by these; the scores of held-out rows confirm. The run of a sweep has "
            "its points below it, and its best model.",
            "",
            f"- Which model: `{for_services('leaderboard', *named)}`",
            f"- Is it better, and how sure is that: `{for_services('compare', 'runs=[<id>,<id>]')}`",
            f"- One more: `{for_services('run', 'base=<id>', 'model.max_depth=20')}`",
        ]
    )


def address(server: str, experiment_id: str, key: str) -> str:
    """The list of runs of an experiment, with a view."""
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={key}"
