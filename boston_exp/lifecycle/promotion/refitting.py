"""A run's configuration fitted once more, on all rows."""

from __future__ import annotations

from boston_exp.experiment import dataset as datasets
from boston_exp.experiment import models
from boston_exp.experiment.evaluation import fit
from boston_exp.lifecycle import retraining
from boston_exp.lifecycle.promotion.plan import Asked
from boston_exp.tracking.mlflow.models import save_refit
from boston_exp.tracking.recorded import History, RecordedRun
from boston_exp.training.record import requirements


def refit(asked: Asked, history: History, run: RecordedRun) -> str:
    """Fit the run's configuration once more, on all rows; returns `models:/<id>` of a model that belongs to the run."""
    config = asked.config
    cfg = retraining.recorded_config(history, run, config, config.trusted_packages)
    composed = retraining.checked(cfg, run, config.trusted_packages)
    dataset = datasets.load(composed)
    weights = None if dataset.weights is None else dataset.weights.to_numpy()
    fitted = fit(models.build(composed, dataset.roles), dataset.X, dataset.y, weights)
    return save_refit(
        asked.destination.server or asked.destination.uri,
        run,
        fitted,
        dataset.example(dataset.X.index),
        tuple(dataset.text_columns),
        requirements(fitted, config.trusted_packages),
        tuple(config.trusted_packages),
    )
