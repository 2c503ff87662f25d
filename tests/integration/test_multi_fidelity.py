"""Models that grow, in real sweeps: which points do, and that no number of any record is another one for it."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import Command

GRID = ("model.n_estimators=10,3,6", "model.max_depth=2,null", "evaluation=cv", "evaluation.n_splits=3", "figures=none")
COLD = "objective.metric=[cv_rmse,fit_seconds]"  # the time of a fit is measured then, and not added up
FILES = ("out_of_fold.csv", "folds.csv", "predictions.csv", "feature_importance.csv")


class Points:
    """The runs of a store that trained something, by what varies."""

    def __init__(self, store: Path, experiment: str = "boston-housing") -> None:
        self.client = MlflowClient(f"sqlite:///{store}")
        found = self.client.get_experiment_by_name(experiment)
        self.runs = [run for run in self.client.search_runs([found.experiment_id]) if "sweep.key" not in run.data.tags]

    @property
    def grown(self) -> dict[str, str]:
        """From how many trees each was grown, `-` where it was fitted at once."""
        return {self.name(run): run.data.tags.get("grown.from", "-") for run in self.runs}

    @property
    def results(self) -> dict[str, tuple[object, ...]]:
        """All numbers of each but times: metrics, and the files that have more of them."""
        return {self.name(run): (self.numbers(run), *self.files(run)) for run in self.runs}

    def name(self, run: Run) -> str:
        return f"{run.data.params['model.max_depth']}/{run.data.params['model.n_estimators']}"

    def numbers(self, run: Run) -> dict[str, float]:
        return {name: value for name, value in run.data.metrics.items() if not name.endswith("_seconds")}

    def files(self, run: Run) -> list[str]:
        folder = Path(str(run.info.artifact_uri).removeprefix("file://"))
        return [(folder / name).read_text() for name in FILES]


@pytest.mark.parametrize(
    "launcher", [(), pytest.param(("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), marks=pytest.mark.slow)]
)
def test_a_grid_whose_points_grow_has_the_numbers_of_one_whose_points_do_not(
    command: Command, store: Path, launcher: tuple[str, ...]
) -> None:
    for experiment, more in (("grown", ()), ("cold", (COLD,))):
        result = command("-m", *GRID, *launcher, *more, "skip_finished=false", f"tracking.experiment_name={experiment}")
        assert result.code == 0, result.err
    grown, cold = Points(store, "grown"), Points(store, "cold")
    whole = {"2/3": "-", "2/6": "3", "2/10": "6", "None/3": "-", "None/6": "3", "None/10": "6"}
    if launcher:  # two workers that end at one moment may change places for the last points
        assert any(grown.grown[name] == size != "-" for name, size in whole.items())
    else:
        assert grown.grown == whole
    assert set(cold.grown.values()) == {"-"}
    assert grown.results == cold.results


def test_what_is_there_already_is_passed_and_grown_over(command: Command, store: Path) -> None:
    """A point that is reused leaves the fitted models of the one before where they are."""
    shared = (*GRID[2:], "model.max_depth=2")
    assert command("model.n_estimators=6", *shared).code == 0
    assert command("-m", GRID[0], *shared).code == 0
    assert Points(store).grown == {"2/6": "-", "2/3": "-", "2/10": "3"}


def test_models_of_other_rows_or_seeds_do_not_grow_into_each_other(command: Command, store: Path) -> None:
    """Each seed is a chain of its own, and the chain before it is forgotten."""
    assert command("-m", "model.n_estimators=3,6", "seed=1,2", *GRID[2:]).code == 0
    points = Points(store)
    seeds = {(run.data.params["seed"], run.data.params["model.n_estimators"]) for run in points.runs}
    assert len(seeds) == len(points.runs) == 4
    for run in points.runs:
        assert run.data.tags.get("grown.from", "-") == ("3" if run.data.params["model.n_estimators"] == "6" else "-")


@pytest.mark.slow
def test_a_point_that_has_grown_is_reproduced_to_the_last_bit(command: Command, store: Path) -> None:
    assert command("-m", *GRID[:1], *GRID[2:], "model.n_jobs=1").code == 0
    (grown,) = (run for run in Points(store).runs if run.data.tags.get("grown.from") == "6")
    found = command(f"run_id={grown.info.run_id}", program="reproduce")
    assert found.code == 0, found.err
    assert "identical to the last bit" in found.out


BY_TREES = (
    "search=optuna_random_forest", "hydra.sweeper.resource=trees", "figures=none", "model.n_jobs=1",
    "hydra.sweeper.pruner.min_resource=2", "hydra.sweeper.pruner.reduction_factor=2", "model.n_estimators=range(3,21)",
)  # fmt: skip


HYPERBAND = ("hyperband", "hydra.sweeper.pruner.max_resource=20")


@pytest.mark.parametrize("pruner", [("successive_halving",), pytest.param(HYPERBAND, marks=pytest.mark.slow)])
def test_a_trial_ends_early_at_a_rung_or_has_the_numbers_of_a_single_run(
    command: Command, store: Path, tmp_path: Path, pruner: tuple[str, ...]
) -> None:
    study = f"sqlite:///{tmp_path}/optuna.db"
    named = (f"hydra/sweeper/pruner={pruner[0]}", *pruner[1:], f"hydra.sweeper.storage={study}")
    result = command("-m", *BY_TREES, *named, "hydra.sweeper.n_trials=8", "hydra.sweeper.sampler.seed=1")
    assert result.code == 0, result.err
    (name,) = optuna.get_all_study_names(study)
    trials = optuna.load_study(study_name=name, storage=study).trials
    for trial in trials:
        size = trial.params["model.n_estimators"]
        end = [] if trial.state.name == "PRUNED" else [size]
        rungs = [rung for rung in (2, 4, 8, 16) if rung < size]
        steps = list(trial.intermediate_values)
        assert steps == (rungs + end if end else rungs[: len(steps)])
    points = Points(store)
    pruned = [run for run in points.runs if "pruned" in run.data.tags]
    assert pruned
    assert len(pruned) == sum(trial.state.name == "PRUNED" for trial in trials)
    for run in pruned:
        assert run.data.tags["pruned.trees"] in {"2", "4", "8", "16"}
        assert "pruned.after" not in run.data.tags
    whole = next(run for run in points.runs if run.info.status == "FINISHED")
    varied = ("n_estimators", "max_depth", "min_samples_split", "min_samples_leaf", "n_jobs")
    model = [f"model.{name}={whole.data.params[f'model.{name}']}".replace("None", "null") for name in varied]
    alone = command(*model, "evaluation=cv", "figures=none", "quiet=true")
    again = points.client.get_run(alone.out.split()[-1])
    assert points.numbers(again) == points.numbers(whole)
    assert points.files(again) == points.files(whole)


@pytest.mark.slow
def test_a_trial_that_was_pruned_at_a_rung_is_reproduced_with_as_many_trees(
    command: Command, store: Path, tmp_path: Path
) -> None:
    named = ("hydra/sweeper/pruner=successive_halving", f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna.db")
    assert command("-m", *BY_TREES, *named, "hydra.sweeper.n_trials=8", "hydra.sweeper.sampler.seed=1").code == 0
    points = Points(store)
    pruned = next(run for run in points.runs if "pruned" in run.data.tags)
    found = command(f"run_id={pruned.info.run_id}", "format=json", program="reproduce")
    assert found.code == 0, found.err
    assert json.loads(found.out)["identical"]
    points.client.set_tag(pruned.info.run_id, "pruned.trees", "1")
    assert command(f"run_id={pruned.info.run_id}", program="reproduce").code == 1


def test_a_search_by_trees_of_a_model_that_does_not_grow_is_refused_before_it_is_trained(command: Command) -> None:
    result = command(
        "-m", "model=ridge", "model.alpha=interval(1,2)", "hydra/sweeper=optuna", "hydra.sweeper.resource=trees",
        "hydra/sweeper/pruner=successive_halving",
    )  # fmt: skip
    assert result.code == 2
    assert "Ridge, as it is set, does not" in result.err
    assert "hydra.sweeper.resource=folds" in result.err
