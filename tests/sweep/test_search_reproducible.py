"""A search of one seed proposes the same points: with one worker whatever was interrupted, with several what follows
from what it knew.

Parts of a search are processes that are killed at a given instruction; their study is an sqlite file, and trials report
as jobs do. The function that they search takes no time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from boston_exp.sweep.optuna_search import OptunaSearch
from boston_exp.sweep.optuna_settings import Settings
from boston_exp.sweep.plan import Aim, Point, Result
from boston_exp.tracking.studies import INTERRUPTED, reporter
from tests.conftest import ROOT, Command
from tests.integration.conftest import BAD_DAY
from tests.integration.test_sweeps import BAD_MODEL, History, ran, started

AIM = Aim(("cv_rmse",), ("minimize",))
RANGES = ("a=tag(log,interval(0.001,100))", "b=int(interval(1,50))", "c=p,q,null")
N_TRIALS = 24  # the first ten of TPE are random
PRUNER = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 3, "n_warmup_steps": 1}
SAMPLERS = ("TPESampler", "RandomSampler")
Proposed = list[tuple[dict[str, Any], str]]  # parameters and state of each trial that counts

# Runs the parts of a search, each a fork that is killed: python -c DRIVER <folder> <sampler>
DRIVER = """
import os, signal, sys
from tests.sweep import test_search_reproducible as tests

for moment, place in tests.KILLS:
    if not (child := os.fork()):
        tests.part(*sys.argv[1:], moment, place, lambda: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, (moment, place)
"""
# Where in the life of a trial a part is killed, and in which place.
KILLS = (("asked", 0), ("suggested one", 4), ("proposed", 7), ("reported", 12), ("told", 13), ("asked", 17))


def search_of(sampler: str, storage: str | None, at_once: int, pruner: Any = None) -> tuple[OptunaSearch, list[Result]]:
    """A search that has begun, and what it remembers."""
    space = {str(each.get_key_element()): each for each in OverridesParser.create().parse_overrides(list(RANGES))}
    config = OmegaConf.create({"_target_": f"optuna.samplers.{sampler}", "seed": 5})
    search = OptunaSearch(Settings(config, N_TRIALS, at_once, storage, None, None, pruner), space, [])
    config: Any = SimpleNamespace(model={"_target_": "made.Up"})
    search.open("k" * 32, config, AIM)
    return search, list(search.begin(at_once))


def folds(point: Point) -> list[float]:
    """Scores of five folds, which the point alone decides."""
    a, b, c = (value for _, value in point.swept)
    level = abs(float(a) - 3) ** 0.5 + (int(b) - 20) ** 2 / 400 + (1.0 if c == "p" else 0.0)
    return [level + 0.1 * ((int(b) * fold) % 5) for fold in range(1, 6)]


def part(folder: str, sampler: str, moment: str = "", place: int = -1, kill: Any = None) -> None:
    """Search with one worker to the end, or until the kill at a moment of the trial in that place."""
    url = f"sqlite:///{folder}/optuna.db"
    search, remembered = search_of(sampler, url, 1, PRUNER)
    now, whole = len(remembered), search._ranges.suggest

    def at(reached: str) -> None:
        if kill and (reached, now) == (moment, place):
            kill()

    def suggest(trial: Any) -> Any:
        at("asked")
        if kill and (moment, place) == ("suggested one", now):
            trial.suggest_float("a", 0.001, 100, log=True)
            kill()
        return whole(trial)

    search._ranges.suggest = suggest  # type: ignore[method-assign]
    while point := search.ask(None):
        at("proposed")
        search.tell(_ran(search, point, url, lambda: at("reported")))
        at("told")
        now += 1


def _ran(search: OptunaSearch, point: Point, url: str, reported: Any) -> Result:
    trial, scores = search.trial_of(point), folds(point)
    assert trial
    settings: Any = SimpleNamespace(sweeper=OmegaConf.create({"pruner": PRUNER, "storage": url}))
    prune = reporter(settings, *trial)
    for fold in range(5):
        mean = sum(scores[: fold + 1]) / (fold + 1)
        if prune(fold, {"cv_rmse": mean}):
            return Result(point, "", "pruned", "r", {})
        if fold == 0:
            reported()
    return Result(point, "", "finished", "r", {"cv_rmse": mean})


def proposed(folder: Path) -> Proposed:
    """Trials that count, as they ended."""
    url = f"sqlite:///{folder}/optuna.db"
    (name,) = optuna.get_all_study_names(url)
    trials = optuna.load_study(study_name=name, storage=url).trials
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    counted = [trial for trial in trials if not trial.user_attrs.get(INTERRUPTED)]
    counted.sort(key=lambda trial: trial.datetime_complete or trial.datetime_start)  # type: ignore[arg-type, return-value]
    return [(trial.params, trial.state.name) for trial in counted]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_proposes_the_same_wherever_it_was_killed(tmp_path: Path, sampler: str) -> None:
    """SIGKILL leaves a trial RUNNING: without parameters, with some, with all, with scores of folds, or told."""
    (tmp_path / "once").mkdir()
    part(str(tmp_path / "once"), sampler)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", DRIVER, str(tmp_path), sampler], env=environment, check=True, timeout=240)
    part(str(tmp_path), sampler)
    undisturbed = proposed(tmp_path / "once")
    assert len(undisturbed) == N_TRIALS
    assert {state for _, state in undisturbed} == {"COMPLETE", "PRUNED"}
    assert len({json.dumps(params, sort_keys=True) for params, _ in undisturbed}) == N_TRIALS
    assert proposed(tmp_path) == undisturbed


def replayed(table: pd.DataFrame, search: OptunaSearch, columns: list[str]) -> list[list[str]]:
    """What a search proposes that is told results in the order in which they came back, as many before each question as
    were known then. `table` is a sweep's results.csv."""
    asked: dict[int, Point] = {}
    told = 0
    ended = table.sort_values("ended").to_dict("records")
    for row in table.sort_values("trial").to_dict("records"):
        while told < row["known"]:
            done = ended[told]
            metrics = {"cv_rmse": done["cv_rmse"]} if done["status"] in ("finished", "reused") else {}
            search.tell(Result(asked[done["trial"]], "", done["status"], done["run_id"], metrics))
            told += 1
        point = search.ask(None)
        assert point
        asked[row["trial"]] = point
    return [[dict(point.swept)[name] for name in columns] for point in asked.values()]


def test_what_several_workers_were_given_follows_from_the_order_of_results() -> None:
    """Three workers whose points end in an order of their own; the record is that of results.csv."""
    search, _ = search_of("TPESampler", None, 3)
    running: list[tuple[Point, int]] = []
    rows: list[dict[str, Any]] = []
    while len(rows) < N_TRIALS:
        while point := search.ask(None):
            running.append((point, len(rows)))
        point, known = running.pop(len(rows) * 7 % len(running))
        score = sum(folds(point)) / 5
        search.tell(Result(point, "", "finished", "r", {"cv_rmse": score}))
        place = {"trial": point.trial, "ended": len(rows) + 1, "known": known}
        rows.append({**dict(point.swept), **place, "status": "finished", "run_id": "r", "cv_rmse": score})
    table = pd.DataFrame(rows)
    assert list(table["trial"]) != sorted(table["trial"])
    again, _ = search_of("TPESampler", None, 3)
    assert replayed(table, again, ["a", "b", "c"]) == table.sort_values("trial")[["a", "b", "c"]].to_numpy().tolist()
    other, _ = search_of("TPESampler", None, 3)
    untrue = table.assign(cv_rmse=table["cv_rmse"].to_numpy()[::-1])
    assert replayed(untrue, other, ["a"]) != table.sort_values("trial")[["a"]].to_numpy().tolist()


SEARCH = (
    *BAD_MODEL, "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1", "model.alpha=tag(log,interval(0.001,1e7))",
    "hydra.sweeper.n_trials=16",
)  # fmt: skip


@pytest.mark.slow
def test_the_commands_own_search_proposes_the_same_whatever_was_interrupted(tmp_path: Path, store: Path) -> None:
    """Ctrl-C, SIGKILL, and Ctrl-C again while a point trains, with pruning, in the main process."""
    overrides = [*SEARCH, "hydra.sweeper.pruner.n_startup_trials=2", "+model.seconds=0.02"]
    (tmp_path / "bad_day.py").write_text(BAD_DAY)
    (tmp_path / "once").mkdir()
    undisturbed = f"hydra.sweeper.storage=sqlite:///{tmp_path}/once/optuna.db"
    assert ran(tmp_path, store, *overrides, undisturbed, "tracking=none")[0] == 0
    overrides.append(f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna.db")
    for number, least in ((signal.SIGINT, 3), (signal.SIGKILL, 7), (signal.SIGINT, 12)):
        process = started(tmp_path, store, *overrides)
        until = time.monotonic() + 120
        while len(History(store).children) < least:
            assert time.monotonic() < until
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=60)
    code, _, err = ran(tmp_path, store, *overrides)
    assert code == 0, err
    assert proposed(tmp_path) == proposed(tmp_path / "once")
    assert {state for _, state in proposed(tmp_path)} == {"COMPLETE", "PRUNED"}


@pytest.mark.slow
def test_the_record_of_two_workers_says_what_they_were_given_and_each_point_is_reproduced_alone(
    tmp_path: Path, store: Path, command: Command
) -> None:
    """reproduce of a child knows nothing of the order of results. A model of scikit-learn's own: it trains the code of
    the commit."""
    overrides = (
        "model=ridge", "figures=none", "hydra/sweeper=optuna", "model.alpha=tag(log,interval(0.001,1e7))",
        "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=16", "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2", "hydra.sweeper.pruner=null", f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna.db",
    )  # fmt: skip
    code, _, err = ran(tmp_path, store, *overrides)
    assert code == 0, err
    table = History(store).results()
    space = {each.get_key_element(): each for each in OverridesParser.create().parse_overrides([overrides[3]])}
    config = OmegaConf.merge(OmegaConf.load(ROOT / "conf/hydra/sweeper/sampler/tpe.yaml"), {"seed": 1})
    search = OptunaSearch(Settings(config, 16, 2, None, None, None, None), space, [])
    model: Any = SimpleNamespace(model={"_target_": "sklearn.linear_model.Ridge"})
    search.open("k" * 32, model, AIM)
    list(search.begin(2))
    given = table.sort_values("trial")["model.alpha"].astype(float)
    again = [float(alpha) for (alpha,) in replayed(table, search, ["model.alpha"])]
    assert again == pytest.approx(list(given), rel=1e-12)  # pandas reads a file to the last digit but one
    last = table.loc[table["trial"].idxmax()]
    shown = command(f"run_id={last['run_id']}", program="reproduce")
    assert shown.code == 0, shown.err
    assert "identical" in shown.out
