"""Is the model that search=automl finds better on held-out rows than the best default? As docs/proofs/automl.md.

python -m tests.sweep.automl_proof                       all tables (make proof), some half an hour of one core
python -m tests.sweep.automl_proof 25 /tmp/cases.jsonl   with 25 trials; what is in the file is not done again

The preset, its spaces, the sampler, the study, composing, splitting and fitting are those of the command. Recording,
figures and intervals are left out.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from scipy import stats

from boston_exp.config.schema import CONF
from boston_exp.experiment import dataset, models, split
from boston_exp.experiment.evaluation import fit
from boston_exp.experiment.threads import openmp_for
from boston_exp.sweep.composing import Composer, with_quick_loader
from boston_exp.sweep.options import options
from boston_exp.sweep.optuna_search import OptunaSearch
from boston_exp.sweep.optuna_settings import Settings
from boston_exp.sweep.plan import Aim, Point, Result
from tests.sweep.automl_tables import GENERATED, NAMES, REAL, ROWS, table

AIM = Aim(("cv_rmse",), ("minimize",))
SPLITS, TRIALS = range(5), 25
SAMPLERS = ("tpe", "random")


@dataclass(frozen=True)
class Case:
    """Held-out RMSE of what was chosen by folds, and its option."""

    table: str
    split: int
    default: float
    default_option: str
    tpe: float
    tpe_option: str
    random: float
    random_option: str


class Scorer:
    """Scores points of one table and split, each once."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._known: dict[tuple[str, ...], float] = {}
        self._rows: split.Split | None = None

    def by_folds(self, point: Point) -> float:
        if point.overrides not in self._known:
            estimator, rows = self._made(point)
            errors = []
            with openmp_for(0):
                for inside, outside in rows.folds:
                    fitted = fit(estimator, rows.X_train.iloc[inside], rows.y_train.iloc[inside])
                    error = fitted.predict(rows.X_train.iloc[outside]) - rows.y_train.iloc[outside].to_numpy()
                    errors.append(np.sqrt(np.mean(error**2)))
            self._known[point.overrides] = float(np.mean(errors))
        return self._known[point.overrides]

    def held_out(self, point: Point) -> float:
        estimator, rows = self._made(point)
        with openmp_for(0):
            error = fit(estimator, rows.X_train, rows.y_train).predict(rows.X_test) - rows.y_test.to_numpy()
        return float(np.sqrt(np.mean(error**2)))

    def _made(self, point: Point) -> tuple[Any, split.Split]:
        _, config, _ = self._composer.parsed(point)
        if self._rows is None:
            self._data = dataset.load(config)
            self._rows = split.split_rows(self._data, config)
        return models.build(config, self._data.roles), self._rows


@contextmanager
def multirun(*overrides: str, conf: Path = CONF) -> Iterator[tuple[HydraContext, DictConfig]]:
    """Hydra's context and the master configuration of a multirun that was typed so."""
    setup_globals()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf)):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.compose_config("config", ["hydra.sweep.dir=x", *overrides], run_mode=RunMode.MULTIRUN)
        yield with_quick_loader(HydraContext(config_loader=hydra.config_loader, callbacks=None)), master


def case(name: str, number: int, trials: int, folder: Path, *more: str) -> Case:
    """One table and one split: the best default by folds, and what both searches choose by folds."""
    file = folder / f"{name}.csv"
    table(name).to_csv(file, index=False)
    typed = [
        "search=automl", "data=csv", f"data.path={file}", "data.target=y", f"data.split_seed={number}", *more,
    ]  # fmt: skip
    found: dict[str, tuple[float, str]] = {}
    scorer: Scorer | None = None
    for sampler in SAMPLERS:
        with multirun(*typed, f"hydra/sweeper/sampler={sampler}") as (context, master):
            composer = Composer(context, master)
            scorer = Scorer(composer) if scorer is None else scorer
            results, first = searched(context, master, composer, scorer, typed, trials)
            for label, among in (("default", results[:first]), (sampler, results)):
                best = AIM.best(among)
                assert best is not None
                if label not in found:
                    found[label] = (scorer.held_out(best.point), dict(best.point.swept)["model"])
    values = {
        key: value for label, pair in found.items() for key, value in zip((label, f"{label}_option"), pair, strict=True)
    }
    return Case(name, number, **values)


def searched(
    context: HydraContext, master: DictConfig, composer: Composer, scorer: Scorer, typed: Sequence[str], trials: int
) -> tuple[list[Result], int]:
    """The results of one search, in order, and how many of them, the first, are the defaults."""
    settings: Any = OmegaConf.to_container(master.hydra.sweeper, resolve=True)
    loader = context.config_loader
    overrides = OverridesParser.create().parse_overrides([each for each in typed if not each.startswith("hydra")])
    space = {each.get_key_element(): each for each in overrides if each.is_sweep_override()}
    fixed = [str(each.input_line) for each in overrides if not each.is_sweep_override()]
    groups, space, fixed = options(
        settings["spaces"], space, fixed, loader, lambda more: loader.load_sweep_config(master, more)
    )
    sampler = OmegaConf.create(settings["sampler"])
    search = OptunaSearch(Settings(sampler, trials, 1, None, "proof", None, None), space, fixed, groups)
    _, config, _ = composer.parsed(search.corners()[0])
    search.open("proof", config, AIM)
    list(search.begin(1))
    results, last = [], None
    while (point := search.ask(last)) is not None:
        last = point
        results.append(Result(point, "", "finished", None, {"cv_rmse": scorer.by_folds(point)}))
        search.tell(results[-1])
    return results, sum(map(len, groups.values()))


def cases(trials: int, kept: Path | None = None) -> Iterator[Case]:
    """All of them, those of `kept` first; new ones are added to it."""
    done = [Case(**json.loads(line)) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    yield from done
    known = {(each.table, each.split) for each in done}
    with tempfile.TemporaryDirectory() as folder:
        for number in SPLITS:
            for name in NAMES:
                if (name, number) not in known:
                    found = case(name, number, trials, Path(folder))
                    if kept:
                        with kept.open("a") as lines:
                            lines.write(json.dumps(asdict(found)) + "\n")
                    yield found


def log_ratios(found: Sequence[Case], search: str, against: str = "default") -> dict[str, np.ndarray]:
    """log(RMSE of the search / RMSE of the other) of each split, by table."""
    tables = [name for name in NAMES if any(each.table == name for each in found)]
    return {
        name: np.array([np.log(getattr(each, search) / getattr(each, against)) for each in found if each.table == name])
        for name in tables
    }


def interval(ratios: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """Mean and 95 % interval of the mean over tables, by Student's t over the tables' means: splits of one table share
    its rows."""
    means = np.array([each.mean() for each in ratios.values()])
    reach = stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return float(means.mean()), float(means.mean() - reach), float(means.mean() + reach)


def percent(log_ratio: float) -> str:
    return f"{100 * np.expm1(log_ratio):+.1f} %"


def told(found: Sequence[Case], trials: int) -> Iterator[str]:
    """docs/proofs/automl.md."""
    tpe, random = log_ratios(found, "tpe"), log_ratios(found, "random")
    yield "# One study over several models, against the best default\n"
    yield "`make proof` writes this file: tests/sweep/automl_proof.py says how, automl_tables.py which tables.\n"
    yield (
        f"`search=automl` with {trials} trials on {len(tpe)} tables of at most {ROWS} rows, {len(SPLITS)} splits each: "
        "a fifth of the rows is held out, five folds of the others choose. The default is the model of the preset "
        "whose defaults have the best folds; they are the first trials of both searches. Compared are held-out rows, "
        "on which nothing was chosen: less than 0 means better than the default. Tables and spaces were written down "
        "before the first of these numbers was seen, but for two of the 80 cases that were tried to see that it works, "
        "and were not changed afterwards. With some hundred rows a good default is hard to beat, and which of many "
        "models has the best folds is in part luck. `yes` in the last table: the whole interval is below 0.\n"
    )
    yield "| table | TPE: RMSE against the default | random search | chosen by TPE, in splits |"
    yield "| --- | ---: | ---: | --- |"
    for name in tpe:
        chosen = [each.tpe_option for each in found if each.table == name]
        options_of = ", ".join(
            f"{one} {chosen.count(one)}" for one in dict.fromkeys(sorted(chosen, key=chosen.count)[::-1])
        )
        yield f"| {name} | {percent(tpe[name].mean())} | {percent(random[name].mean())} | {options_of} |"
    yield "\nMean log ratio of RMSE and its 95 % interval (Student's t over the tables' means):\n"
    yield "| tables | search | mean log ratio | 95 % interval | as a change of RMSE | shown to be better |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    groups = {
        "all": NAMES,
        "real": [each.__name__ for each in REAL],
        "generated": [each.__name__ for each in GENERATED],
    }
    for group, names in groups.items():
        pairs = {"TPE": tpe, "random": random, "TPE against random": log_ratios(found, "tpe", "random")}
        for search, ratios in pairs.items():
            kept = {name: ratios[name] for name in names if name in ratios}
            if len(kept) > 1:
                mean, low, high = interval(kept)
                shown = "yes" if high < 0 else "no"
                yield f"| {group} | {search} | {mean:+.4f} | {low:+.4f} to {high:+.4f} | {percent(mean)} | {shown} |"


def main(trials: int = TRIALS, kept: str | None = None) -> None:
    found = []
    for each in cases(trials, Path(kept) if kept else None):
        found.append(each)
        print(each, file=sys.stderr, flush=True)
    print("\n".join(told(sorted(found, key=lambda each: NAMES.index(each.table)), trials)))


if __name__ == "__main__":
    main(*[int(each) if each.isdigit() else each for each in sys.argv[1:]])
