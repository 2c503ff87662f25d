"""Registered models that `sync` brings: versions, aliases, and what others have done with them meanwhile."""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow import MlflowClient

from tests.conftest import Command
from tests.lifecycle.syncing.foreign import copies, history


def test_registered_models_come_with_versions_and_aliases(sync: Command, store: Path, other: Path) -> None:
    ids = history(other)
    source, target = MlflowClient(f"sqlite:///{other}"), MlflowClient(f"sqlite:///{store}")
    source.create_registered_model("keeper", {"owner": "growth"}, "who stays")
    for output in sorted(source.get_run(ids["good"]).outputs.model_outputs, key=lambda each: each.step):
        mlflow.set_tracking_uri(f"sqlite:///{other}")
        source.create_model_version(
            "keeper",
            f"models:/{output.model_id}",
            ids["good"],
            {"gate": "passed"},
            description="card",
            model_id=output.model_id,
        )
    source.set_registered_model_alias("keeper", "champion", "2")
    bring = (f"source=sqlite:///{other}", "all=true", "registry=true")
    result = sync(*bring)
    assert result.code == 0, result.err
    assert "2 registered versions" in result.out
    there = target.get_registered_model("keeper")
    assert (there.description, there.tags["owner"]) == ("who stays", "growth")
    champion = target.get_model_version_by_alias("keeper", "champion")
    assert (str(champion.version), champion.tags["gate"], champion.description) == ("2", "passed", "card")
    assert champion.run_id == copies(store)["good"].info.run_id
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    assert mlflow.pyfunc.load_model("models:/keeper@champion").metadata.run_id == champion.run_id
    assert "version" not in sync(*bring).out
    assert len(target.search_model_versions("name = 'keeper'")) == 2
    source.set_registered_model_alias("keeper", "champion", "1")  # promoted here again: it follows
    assert sync(*bring).code == 0
    assert str(target.get_model_version_by_alias("keeper", "champion").version) == "1"
    target.set_registered_model_alias("keeper", "champion", "2")  # somebody has moved it there
    left = sync(*bring)
    assert left.code == 1
    assert "it names version 2 there, which was not set from here" in left.out
    assert str(target.get_model_version_by_alias("keeper", "champion").version) == "2"
