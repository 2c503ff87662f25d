"""search=automl on real stores: what is tried first, what is told, what goes on, and what the best command gives."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import OmegaConf

from boston_exp.config.schema import CONF
from boston_exp.sweep.checked import checked
from boston_exp.sweep.composing import Composer
from boston_exp.sweep.options import options
from boston_exp.sweep.optuna_search import OptunaSearch
from boston_exp.sweep.optuna_settings import Settings
from boston_exp.sweep.plan import Space
from boston_exp.sweep.search import Grid
from tests.conftest import Command
from tests.integration.test_sweeps import History
from tests.sweep.automl_proof import case, interval, log_ratios, multirun
from tests.sweep.test_options import swept

QUICK = ("search=automl", "model=ridge,knn,dummy", "figures=none")


@pytest.fixture(autouse=True)
def _studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def studied(folder: Path) -> optuna.Study:
    (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/o.db")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/o.db")


def test_one_study_over_several_models_begins_with_their_defaults_and_goes_on(
    command: Command, store: Path, tmp_path: Path
) -> None:
    """An option without a space, model=dummy, is tried as it is."""
    typed = (*QUICK, f"hydra.sweeper.storage=sqlite:///{tmp_path}/o.db")
    first = command("-m", *typed, "hydra.sweeper.n_trials=6")
    assert first.code == 0, first.err
    assert "optuna of 6 points" in first.out
    study = studied(tmp_path)
    assert study.study_name.startswith("3 of model cv_rmse ")
    assert [trial.params for trial in study.trials[:3]] == [
        {"model": "ridge", "ridge.alpha": 1.0},
        {"model": "knn", "knn.n_neighbors": 5, "knn.weights": "uniform", "knn.p": 2},
        {"model": "dummy"},
    ]
    history = History(store)
    assert history.parent.data.params["model"] == "ridge,knn,dummy"
    assert history.parent.data.params["ridge.alpha"] == "tag(log,interval(0.001,1000.0))"
    note = history.parent.data.tags["mlflow.note.content"]
    assert "| model | trials | best RMSE over folds (thousand USD) | held out |" in note
    folder = history.parent.info.artifact_uri.removeprefix("file://")
    table = pd.read_csv(f"{folder}/families.csv")
    assert set(table["family"]) == {"ridge", "knn", "dummy"}
    assert list(table["cv_rmse"]) == sorted(table["cv_rmse"])
    assert not table.set_index("family").loc["dummy", "contends"]

    more = command("-m", *typed, "hydra.sweeper.n_trials=8")
    assert more.code == 0, more.err
    trials = studied(tmp_path).trials
    assert len(trials) == 8
    assert [trial.params for trial in trials].count({"model": "ridge", "ridge.alpha": 1.0}) == 1

    best = History(store).parent
    program, *overrides = shlex.split(best.data.tags["best.command"])[3:]
    alone = command(program, *overrides, "skip_finished=false")
    assert alone.code == 0, alone.err
    runs = {run.info.run_id: run for run in History(store).children}
    newest = max(runs.values(), key=lambda run: run.info.start_time)
    assert newest.data.metrics["cv_rmse"] == best.data.metrics["cv_rmse"]
    assert newest.data.metrics["rmse"] == best.data.metrics["rmse"]


def test_defaults_are_never_pruned(command: Command, store: Path, tmp_path: Path) -> None:
    result = command(
        "-m", "search=automl", "model=ridge,knn", "figures=none", "hydra.sweeper.n_trials=4",
        f"hydra.sweeper.storage=sqlite:///{tmp_path}/o.db",
        "hydra/sweeper/pruner=median", "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",
        "+hydra.sweeper.pruner.upper=0.0",
        "~hydra.sweeper.pruner.n_startup_trials",
    )  # fmt: skip
    assert result.code == 0, result.err
    states = [trial.state.name for trial in studied(tmp_path).trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED"]


def test_text_and_gaps_are_no_obstacle_and_a_typed_preprocess_wins(
    command: Command, store: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), "kind": rng.choice(["x", "y"], 60)})
    table["y"] = table["a"] + (table["kind"] == "x") + 0.1 * rng.normal(size=60)
    table.loc[::7, "a"] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False)
    data = ("data=csv", f"data.path={tmp_path}/t.csv", "data.target=y", "figures=none")
    typed = ("-m", "search=automl", *data, "tracking=none", "hydra.sweeper.storage=null")
    result = command(*typed, "hydra.sweeper.n_trials=8")
    assert result.code == 0, result.err
    assert "8 done" in result.out
    refused = command(*typed, "hydra.sweeper.n_trials=2", "preprocess=standard")
    assert "preprocess cannot take" in refused.err


def test_a_space_that_cannot_be_is_refused_with_the_next_command(command: Command, store: Path) -> None:
    result = command("-m", "search=automl", "+hydra.sweeper.spaces.model.lasso={model.alpha: '0.1,1'}")
    assert result.code == 2
    assert "lasso is no option of model" in result.err
    assert "next: python -m boston_exp.run -m search=automl tracking.uri" in result.err  # as it was typed, without it
    assert "Traceback" not in result.err


def glob(context: HydraContext) -> Space:
    (override,) = OverridesParser.create(context.config_loader).parse_overrides(["model=glob(r*)"])
    return {"model": override}


@pytest.mark.parametrize("kind", ["grid", "glob", "optuna", "automl"])
def test_a_file_more_in_conf_is_the_same_sweep(kind: str, tmp_path: Path) -> None:
    """And with it the same study: nothing is trained again because of an option that nobody has chosen."""

    def key(conf: Path) -> str:
        typed = ["search=automl"] if kind == "automl" else ["evaluation=cv"]
        with multirun(*typed, "tracking=none", conf=conf) as (context, master):
            loader = context.config_loader
            space: Space = swept("model.max_depth=2,3") if kind != "glob" else glob(context)
            search: Grid | OptunaSearch = Grid(space, typed)
            if kind in ("optuna", "automl"):
                spaces = master.hydra.sweeper.get("spaces") or {}
                groups, rest, fixed = options(
                    spaces, {} if kind == "automl" else space, typed, loader,
                    lambda more: loader.load_sweep_config(master, more),
                )  # fmt: skip
                sampler = OmegaConf.create({"_target_": "optuna.samplers.RandomSampler"})
                search = OptunaSearch(Settings(sampler, 5, 1, None, None, None, None), rest, fixed, groups)
            return checked(Composer(context, master), search).key

    shutil.copytree(CONF, tmp_path / "conf")
    before = key(tmp_path / "conf")
    for folder in ("model", "preprocess", "search", "data"):
        (tmp_path / "conf" / folder / "rather_new.yaml").write_text("_target_: sklearn.linear_model.Lasso\n")
    assert key(tmp_path / "conf") == before


@pytest.mark.slow
def test_what_is_found_is_better_than_the_best_default_on_tables_where_it_has_to_be(tmp_path: Path) -> None:
    """The proof's short form: noise among forty columns wants another penalty than the default, a smooth function
    another margin. All of it: docs/proofs/automl.md."""
    typed = ("model=elastic_net,scaled_svr",)
    found = [case(name, 0, 12, tmp_path, *typed) for name in ("sparse", "friedman1")]
    mean, low, high = interval(log_ratios(found, "tpe"))
    assert low < mean < high
    assert mean < -0.02
    assert interval(log_ratios(found, "random"))[0] < 0
