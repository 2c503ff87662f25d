"""Imported by the fork server before it forks a worker: what every point needs. Starts no thread.

Not boston_exp.run: that is what `python -m` runs, and every worker imports it as its main module.
"""

from __future__ import annotations

import gc

gc.disable()  # until a point trains (training/collector.py)

import hydra  # noqa: E402, F401
import mlflow.store.tracking.sqlalchemy_store  # noqa: E402, F401 (MLflow imports it when a store is opened)
import sklearn.ensemble  # noqa: E402, F401 (of most models)
from hydra.core.plugins import Plugins  # noqa: E402

import boston_exp.sweep.jobs  # noqa: E402
import boston_exp.tracking.mlflow.tracker  # noqa: E402
import boston_exp.training.train  # noqa: E402, F401

Plugins.instance()
gc.freeze()  # before forking, so that the workers' collector does not copy shared pages
