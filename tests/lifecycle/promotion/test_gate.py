"""The gate: what the held-out rows say decides, and says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mlflow.entities import Run

from boston_exp.experiment.metrics import named as metric_named
from boston_exp.lifecycle.comparing.paired import Difference
from boston_exp.lifecycle.comparing.pairs import Pair
from boston_exp.lifecycle.promotion.gate import BETTER, NOT_WORSE, judged
from boston_exp.tracking.recorded import RecordedRun
from tests.conftest import Command
from tests.lifecycle.promotion.conftest import NAME, Project

Named = Callable[..., str]
RMSE = metric_named("rmse")


def _pair(low: float, mean: float, high: float) -> Pair:
    a, b = (RecordedRun(name, name, "FINISHED", 0, 1, {}, {}, {}) for name in ("new", "old"))
    return Pair(a, b, Difference(mean, low, high, 0.5, (high - low) / 4, 102), 0.5, None, 0.1)


@pytest.mark.parametrize(
    ("kind", "low", "mean", "high", "opens", "says"),
    [
        (NOT_WORSE, -0.4, -0.2, 0.1, True, "Not shown to be worse"),
        (NOT_WORSE, 0.05, 0.3, 0.6, True, "Not shown to be worse"),  # within the rope at its lower end
        (NOT_WORSE, 0.11, 0.3, 0.6, False, "Shown to be worse. new against old: worse by 0.30 kEUR of RMSE on 102"),
        (NOT_WORSE, -0.6, -0.3, -0.1, True, "Shown to be better"),
        (BETTER, -0.6, -0.3, -0.1, True, "Shown to be better. new against old: better by 0.30 kEUR"),
        (BETTER, -0.6, -0.3, 0.01, False, "Not shown to be better"),
    ],
)
def test_the_interval_decides(kind: str, low: float, mean: float, high: float, opens: bool, says: str) -> None:
    found = judged(_pair(low, mean, high), kind, "RMSE", "kEUR", rope=0.1)
    assert found.opens is opens
    assert found.says.startswith(says)


def test_better_says_what_could_have_been_seen() -> None:
    found = judged(_pair(-0.6, -0.3, 0.1), BETTER, "RMSE", "kEUR", rope=0.1)
    assert "On 102 rows a true difference below 0.49 kEUR would probably be missed." in found.says


def test_a_worse_model_is_refused_with_the_reason_and_nothing_changes(project: Project, named: Named) -> None:
    project.promote(f"run_id={named('RandomForestRegressor')}")
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "Shown to be worse. ridge against" in result.err
    assert "gate=none" in result.err
    assert project.state() == before
    shown = project.promote(f"run_id={named('Ridge')}", "dry_run=true")
    assert shown.code == 2
    assert "Nothing was changed" in shown.err

    assert project.promote(f"run_id={named('Ridge')}", "gate=none").code == 0
    assert "Compared with nothing: gate=none was typed." in (project.model / "card.md").read_text()


def test_better_asks_for_evidence(project: Project, named: Named) -> None:
    project.promote(f"run_id={named('ExtraTreesRegressor')}", "gate=none")
    result = project.promote(f"run_id={named('RandomForestRegressor')}", "gate=better")
    assert result.code == 2
    assert "Not shown to be better" in result.err or "Shown to be worse" in result.err
    assert "would probably be missed" in result.err


def test_the_reason_is_recorded(project: Project, named: Named) -> None:
    project.promote(f"run_id={named('Ridge')}")
    project.promote(f"run_id={named('RandomForestRegressor')}")
    version = project.client.get_model_version_by_alias(NAME, "champion")
    assert version.tags["gate"].startswith("Shown to be better")
    assert version.tags["gate"] in (project.model / "card.md").read_text().replace("\\", "")


def test_a_champion_of_another_split_is_trained_again_on_the_candidates(
    project: Project, named: Named, command: Command, runs: Callable[[str], list[Run]]
) -> None:
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    result = command("model=ridge", "evaluation=cv", "data.split_seed=7", "figures=none", "quiet=true")
    candidate = result.out.strip()
    champion = project.client.get_model_version_by_alias(NAME, "champion").run_id
    shown = project.promote(f"run_id={candidate}", "dry_run=true")
    assert "it will be trained again on the candidate's" in " ".join(shown.out.split())
    assert not runs(f"tags.`promotion.compared_with` = '{candidate}'")  # looking trains nothing
    result = project.promote(f"run_id={candidate}", "gate=better")
    (made,) = runs(f"tags.`promotion.compared_with` = '{candidate}'")
    theirs = project.client.get_run(candidate)
    assert made.data.tags["split.digest"] == theirs.data.tags["split.digest"]
    assert made.data.params["model.n_neighbors"] == project.client.get_run(champion).data.params["model.n_neighbors"]
    assert "its configuration was trained again" in " ".join(f"{result.out}{result.err}".split())
    assert made.info.run_id in result.out + result.err
    project.promote(f"run_id={candidate}", "gate=better")  # once is enough
    assert len(runs(f"tags.`promotion.compared_with` = '{candidate}'")) == 1


def test_a_model_of_another_target_does_not_take_the_name(
    project: Project, named: Named, runs: Callable[[str], list[Run]]
) -> None:
    project.promote(f"run_id={named('Ridge')}")
    other = runs("tags.dataset = 'diabetes'")[0].info.run_id
    result = project.promote(f"run_id={other}")
    assert result.code == 2
    assert "the champion of boston-housing MEDV" in result.err
    assert "name=diabetes" in result.err
    assert project.promote(f"run_id={other}", "name=diabetes").code == 0


def test_a_champion_whose_record_names_foreign_code_is_not_trained(
    project: Project, named: Named, command: Command
) -> None:
    """What a record says is data: its targets are checked against what is trusted here."""
    from pathlib import Path

    champion = named("KNeighborsRegressor")
    project.promote(f"run_id={champion}")
    file = Path(project.client.get_run(champion).info.artifact_uri.removeprefix("file://")) / "config" / "config.yaml"
    kept = file.read_text()
    candidate = command("model=ridge", "evaluation=cv", "data.split_seed=7", "figures=none", "quiet=true").out.strip()
    try:
        file.write_text(kept.replace("sklearn.neighbors.KNeighborsRegressor", "os.system"))
        result = project.promote(f"run_id={candidate}")
    finally:
        file.write_text(kept)
    assert result.code == 2
    assert "os.system" in result.err
    assert "Traceback" not in result.err
