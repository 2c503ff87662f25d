"""What a run costs in a process that has done one before: everything but the fit."""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from boston_exp.config.parsing import parse
from boston_exp.config.schema import CONF
from boston_exp.config.settings import Typed
from boston_exp.tracking import destination
from boston_exp.training.job import Job
from boston_exp.training.train import Experiment, train


def overhead(rounds: int, folder: Path, figures: str) -> tuple[float, float]:
    """Median seconds of a run without its fit and its first predict, and of those two, after a first run."""
    typed = Typed(("tracking.uri=sqlite:///warm.db",), folder)
    rest, fits = [], []
    with initialize_config_dir(str(CONF)):
        for number in range(rounds + 1):
            start = time.perf_counter()
            cfg = compose("config", [f"figures={figures}", f"seed={number}", *typed.overrides])
            parsed = parse(cfg, typed)
            where = destination.resolve(parsed, typed)
            with contextlib.redirect_stdout(io.StringIO()):
                train(Experiment(cfg, typed, parsed, where, "warm"), Job(Path(folder))).show()
            whole = time.perf_counter() - start
            fit = _fit_seconds(where)
            if number:
                rest.append(whole - fit)
                fits.append(fit)
    return statistics.median(rest), statistics.median(fits)


def _fit_seconds(where: destination.Destination) -> float:
    from mlflow import MlflowClient

    client = MlflowClient(where.uri)
    experiment = client.get_experiment_by_name(where.experiment_name)
    (newest,) = client.search_runs([experiment.experiment_id], max_results=1, order_by=["start_time DESC"])
    return newest.data.metrics["fit_seconds"] + newest.data.metrics["predict_seconds"]
