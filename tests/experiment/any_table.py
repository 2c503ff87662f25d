"""What becomes of a generated table: a finished run, a refusal, or a defect; and whether a bare script fits it."""

from __future__ import annotations

import copy
import logging
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import FrameType

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from boston_exp import process
from boston_exp.config import checks as configured
from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation, quoted, quoted_list
from boston_exp.config.marks import spell_out
from boston_exp.config.parsing import parse
from boston_exp.config.schema import CONF, Config
from boston_exp.config.settings import Typed
from boston_exp.errors import ExpectedFailure, InvalidConfig, InvalidData, Together, traced
from boston_exp.experiment import checks, models
from boston_exp.experiment import dataset as datasets
from boston_exp.experiment.checks.context import Context
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import evaluate
from boston_exp.experiment.split import split_rows
from tests.experiment.generated_columns import Rng
from tests.experiment.generated_tables import Table, table

LONGEST = 60  # seconds; what takes more hangs
MODELS = (
    *(("model=ridge",),) * 4, ("model=random_forest", "model.n_estimators=10"), ("model=knn",), ("model=dummy",),
    ("model=hist_gradient_boosting", "model.max_iter=20"),
)  # fmt: skip
EVALUATIONS = (
    ("evaluation=holdout",), ("evaluation=cv", "evaluation.n_splits=3"),
    ("evaluation=repeated_cv", "evaluation.n_splits=2", "evaluation.n_repeats=2"),
)  # fmt: skip
FITTING = {  # kinds of columns that a setting is for
    "group": ("few categories", "many categories", "true or false"), "time": ("dates", "rows counted", "whole numbers"),
    "weight": ("percent", "currency", "numbers of few bits", "rows counted"),
}  # fmt: skip
PREPROCESSES = ("preprocess=tabular",) * 8 + ("preprocess=none", "preprocess=standard")
READING = ("data.sep=semicolon", "data.decimal=comma", "data.thousands=none", "data.header=false",
           "data.encoding=utf-8", "data.date_format=%d.%m.%Y", "data.test_size=0.5",
           "data.columns=[a,b,c]")  # fmt: skip

GRAMMAR = OverridesParser.create()


@dataclass(frozen=True)
class Outcome:
    """Of one table. `kind` is finished, refused, defect or hang; `says` are the refusal's faults or the traceback."""

    number: int
    table: str
    settings: tuple[str, ...]
    kind: str
    says: tuple[str, ...]
    seconds: float
    fits: bool | None  # whether the script fits it; None where settings were given that it does not know
    misread: bool = False  # the target is not what was meant

    @property
    def bare(self) -> bool:
        return self.fits is not None


def run(number: int, folder: Path) -> Outcome:
    """Table `number`, with no setting but its model in two of three, with settings in the others."""
    rng = np.random.default_rng(number)
    made = table(rng, folder)
    bare = rng.uniform() < 2 / 3
    model = MODELS[rng.integers(len(MODELS))]
    groups = (*model, "preprocess=tabular") if bare else (*model, *_groups(rng))
    typed = [] if bare else [f"data.target={quoted(made.target)}", *_settings(rng, made)]
    overrides = ["data=csv", f"data.path={made.path.name}", *groups, *typed]
    process.reset()
    invocation.begin(Invocation.of("run", overrides))
    start = time.perf_counter()
    kind, says, dataset = _ended(made, groups, typed)
    seconds = time.perf_counter() - start
    fits = _script_fits(made, model) if bare else None
    misread = dataset is not None and bare and not _as_meant(dataset, made)
    return Outcome(number, made.kind, (*groups, *typed), kind, says, seconds, fits, misread)


def _groups(rng: Rng) -> tuple[str, ...]:
    return (str(rng.choice(PREPROCESSES)), *EVALUATIONS[rng.integers(len(EVALUATIONS))])


def _settings(rng: Rng, made: Table) -> Iterator[str]:
    """Some of each kind, as a command has them."""
    others = [name for name in made.names if name not in (made.target, "")] or ["x0"]
    if rng.uniform() < 0.5:
        key = str(rng.choice(list(FITTING)))
        kinds = dict(zip(made.names, made.kinds, strict=False))
        fitting = [name for name in others if kinds.get(name, "").removesuffix(", gaps").startswith(FITTING[key])]
        yield f"data.{key}={quoted(str(rng.choice(fitting if fitting and rng.uniform() < 0.8 else others)))}"
    if rng.uniform() < 0.2:
        yield "evaluation.stratify=true"
    if rng.uniform() < 0.3:
        role = rng.choice(["number", "category", "date", "text", "id", "constant"])
        yield f"data.roles={quoted_list([f'{rng.choice(others)}:{role}'])}"
    if rng.uniform() < 0.2:
        yield f"data.drop={quoted_list([str(rng.choice(others))])}"
    if rng.uniform() < 0.3:
        yield "data.missing_target=drop"
    if rng.uniform() < 0.1:
        yield str(rng.choice(READING))


@cache
def _composed(overrides: tuple[str, ...]) -> Config:
    with initialize_config_dir(str(CONF)):
        return parse(compose("config", list(overrides)), Typed())


def _config(made: Table, groups: Sequence[str], typed: Sequence[str]) -> Config:
    """As a command composes it. Groups are composed once for all tables, which takes 0.1 s; single settings are read
    by Hydra's grammar each time, as are the names of columns in them."""
    composed = _composed((*groups, "data=csv", "data.path=t.csv", "data.target=y", "evaluation.n_resamples=100"))
    config = copy.deepcopy(composed)
    config.data.path, config.data.name, config.data.target = str(made.path), "t", made.target
    for override in typed:
        read = GRAMMAR.parse_override(override)
        group, _, key = read.key_or_group.partition(".")
        value = OmegaConf.to_container(OmegaConf.create({"value": read.value()}), resolve=True)
        setattr(getattr(config, group), key, value["value"])
    spell_out(config.data)
    return config


def _ended(made: Table, groups: Sequence[str], typed: Sequence[str]) -> tuple[str, tuple[str, ...], Dataset | None]:
    """Reading, roles, split, fit, scores and checks of one table, as a run does them."""
    try:
        with _at_most(LONGEST), _said() as said:
            dataset = _run(_config(made, groups, typed))
    except ExpectedFailure as failure:
        unclear = [fault for fault in failure.faults if not (fault.says and fault.mend)]
        if unclear or not failure.faults:
            return "defect", (f"unclear refusal: {failure.faults}",), None
        return "refused", tuple(fault.says for fault in failure.faults), None
    except HydraException as error:  # which Hydra's main says without a traceback
        return "refused", (f"Hydra: {error}",), None
    except TimeoutError:
        return "hang", (f"more than {LONGEST} s",), None
    except Exception as error:
        return "defect", (traced(error),), None
    if said:
        return "defect", tuple(said), dataset
    return "finished", (), dataset


def _run(config: Config) -> Dataset:
    faults = configured.faults(config)
    if faults:
        raise InvalidConfig(*faults)
    with warnings.catch_warnings(), Together(InvalidData) as attempt:
        warnings.simplefilter("error")  # what pandas has to say while it reads
        dataset = attempt(datasets.load, config)
        estimator = attempt(partial(models.build, roles=dataset.roles if dataset else None), config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models.check_suits(estimator, dataset)
        rows = split_rows(dataset, config)
        evaluated = evaluate(estimator, rows, config.seed, config.evaluation.n_resamples)
        roles = {name: role.name for name, role in dataset.roles.items()}
        checks.run(Context(dataset, rows, evaluated, estimator, config, roles))
    if not np.isfinite(evaluated.metrics["rmse"]):
        raise ArithmeticError(f"metrics that are no numbers: {evaluated.metrics}")
    return dataset


@contextmanager
def _said() -> Iterator[list[str]]:
    """What is logged as a warning meanwhile: a check that could not be made."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("boston_exp")
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _script_fits(made: Table, model: Sequence[str]) -> bool:
    """Whether a script of pandas and scikit-learn that knows the dialect fits the same model and predicts by it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = made.by_pandas()
            X, y = frame.drop(columns=made.target), frame[made.target]
            numeric = X.select_dtypes("number").columns
            X = X.astype({**dict.fromkeys(numeric, "float64"), **dict.fromkeys(X.columns.difference(numeric), str)})
            X_train, X_test, y_train, _ = train_test_split(X, y, test_size=0.2, random_state=42)
            predicted = _script(tuple(model)).fit(X_train, y_train).predict(X_test)
            return bool(np.isfinite(predicted.astype(float)).all())
    except Exception:
        return False


@cache
def _script(model: tuple[str, ...]) -> BaseEstimator:
    config = _composed((*model, "data=csv", "data.path=t.csv", "data.target=y", "preprocess=none"))
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    sort = make_column_transformer((numbers, make_column_selector(dtype_include="number")),
                                   (text, make_column_selector(dtype_exclude="number")))  # fmt: skip
    return make_pipeline(sort, models.build(config))


def _as_meant(dataset: Dataset, made: Table) -> bool:
    if made.y is None:
        return True
    return len(made.y) == len(dataset.y) and np.allclose(dataset.y, made.y, rtol=1e-6, equal_nan=True)


def outcomes(number: int, first: int = 0) -> Iterator[Outcome]:
    """Of so many tables, one after the other."""
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for each in range(first, first + number):
            yield run(each, Path(folder))
