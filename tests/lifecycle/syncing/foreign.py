"""A history that this project did not make: what MLflow's own client and its users leave in a store."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Run, RunTag
from mlflow.models import Model, infer_signature
from sklearn.linear_model import LinearRegression, Ridge

EXPERIMENT = "churn"
DATASET = Dataset("customers", "5e1f", "local", '{"uri": "customers.csv"}', '{"mlflow_colspec": []}', '{"num_rows": 9}')
VALUES = [(0, 0.9), (1, 0.5), (2, math.nan), (3, math.inf), (3, 0.1)]  # step and value; one step has two


def history(store: Path, experiment: str = EXPERIMENT) -> dict[str, str]:
    """A parent with two children, one of them with two models, one failed, one that still runs; ids by name."""
    client = MlflowClient(f"sqlite:///{store}")
    place = client.create_experiment(experiment, artifact_location=(store.parent / "artifacts" / experiment).as_uri())
    client.set_experiment_tag(place, "mlflow.note.content", "what keeps customers")
    parent = client.create_run(place, run_name="search", start_time=1000)
    ids = {"search": parent.info.run_id}
    for number, name in enumerate(("good", "bad", "open")):
        tags = {"mlflow.parentRunId": ids["search"], "team": "growth", "mlflow.note.content": f"**{name}** one"}
        run = client.create_run(place, run_name=name, start_time=2000 + number, tags=tags)
        ids[name] = run.info.run_id
        client.log_param(run.info.run_id, "depth", number)
    _good(client, client.get_run(ids["good"]))
    client.log_batch(ids["bad"], [Metric("loss", 7.0, 2500, 0)], tags=[RunTag("error", "out of memory")])
    client.set_terminated(ids["bad"], "FAILED", 3000)
    client.set_terminated(ids["search"], "FINISHED", 9000)
    return ids


def _good(client: MlflowClient, run: Run) -> None:
    run_id = run.info.run_id
    client.log_inputs(run_id, [DatasetInput(DATASET, [InputTag("mlflow.data.context", "training")])])
    client.log_text(run_id, "epoch,loss\n", "tables/loss.csv")
    client.log_text(run_id, "notes", "read me.txt")
    metrics = [Metric("loss", value, 2100 + 10 * number, step) for number, (step, value) in enumerate(VALUES)]
    for step, estimator in enumerate((LinearRegression(), Ridge())):
        model = client.create_logged_model(
            run.info.experiment_id, name=f"checkpoint-{step}", source_run_id=run_id, params={"step": str(step)}
        )
        X = np.arange(6.0).reshape(3, 2)
        estimator.fit(X, X[:, 0])
        with TemporaryDirectory() as name:
            folder = Path(name) / "model"
            mlflow.sklearn.save_model(
                estimator,
                folder,
                signature=infer_signature(X, X[:, 0]),
                pip_requirements=["scikit-learn"],
                mlflow_model=Model(run_id=run_id, model_id=model.model_id),
            )
            client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=step)])
        client.finalize_logged_model(model.model_id, "READY")
        scored = {"model_id": model.model_id, "dataset_name": DATASET.name, "dataset_digest": DATASET.digest}
        metrics.append(Metric("accuracy", 0.5 + step / 4, 2200, step, run_id=run_id, **scored))
    client.log_batch(run_id, metrics)
    client.set_terminated(run_id, "FINISHED", 2900)


def copies(store: Path, experiment: str = EXPERIMENT) -> dict[str, Run]:
    """By name."""
    client = MlflowClient(f"sqlite:///{store}")
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}
