"""Every file under conf/ composes, opens with a command, and what the environment says has its rank."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from boston_exp import process
from boston_exp.config import checks, settings
from boston_exp.config.parsing import parse
from boston_exp.config.schema import CONF, Config, Range
from boston_exp.config.settings import Typed, decide
from boston_exp.tracking import destination

FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
NEEDS = {"data/csv": ["data.path=x.csv", "data.target=y"]}  # what only the user can give


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF)):
        return parse(compose("config", list(overrides)), Typed())


@pytest.mark.parametrize("file", [str(path) for path in FILES])
def test_every_file_under_conf_opens_with_a_command(file: str) -> None:
    lines = (CONF / file).read_text().splitlines()
    opening = lines[1] if lines[0] == "# @package _global_" else lines[0]
    if file.startswith("hydra/"):
        assert opening.startswith("# ")
    else:
        assert opening.startswith("# python -m boston_exp.")


@pytest.mark.parametrize("file", [str(path) for path in FILES if len(path.parts) == 2])
def test_every_group_option_composes_and_holds(file: str) -> None:
    option = file.removesuffix(".yaml")
    group, _, name = option.partition("/")
    made = composed(f"{group}={name}", *NEEDS.get(option, []))
    faults = [fault for fault in checks.faults(made) if "x.csv does not exist" not in fault.says]
    assert faults == []


def test_the_defaults_are_the_baseline_of_the_guide() -> None:
    model = composed().model
    assert {name: model[name] for name in ("n_estimators", "max_depth", "min_samples_split", "min_samples_leaf")} == {
        "n_estimators": 100,
        "max_depth": 10,
        "min_samples_split": 5,
        "min_samples_leaf": 2,
    }
    assert composed("experiment=baseline") == composed()


def test_an_override_wins_over_a_preset() -> None:
    assert composed("experiment=deep_forest", "model.max_depth=7").model["max_depth"] == 7


def test_evaluation_chooses_what_is_selected_by() -> None:
    assert composed().objective.metric == "rmse"
    assert composed("evaluation=cv").objective.metric == "cv_rmse"
    assert composed("evaluation=cv", "objective.metric=cv_mae").objective.metric == "cv_mae"


@pytest.mark.parametrize(
    ("value", "holds"),
    [(1, True), (10**9, True), (0, False), (-5, False), (1.0, False), ("abc", False), (True, False), (None, False)],
)
def test_a_whole_number_range_takes_whole_numbers_only(value: object, holds: bool) -> None:
    assert Range("", low=1, whole=True).holds(value) == holds


def test_a_share_is_an_alternative_to_a_count() -> None:
    allowed = checks.HYPERPARAMETERS["min_samples_split"]
    assert [value for value in (0, 0.0, 0.1, 1, 1.0, 1.5, 2, 2.5) if allowed.holds(value)] == [0.1, 1.0, 2]


def test_hydra_accepts_every_range_that_the_schema_declares() -> None:
    """A default outside of its own range would refuse everybody."""
    assert list(checks.out_of_range("", composed())) == []


class TestWhoDecides:
    """Override, then environment, then .env, then the group."""

    @pytest.fixture(autouse=True)
    def _project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.env = tmp_path / ".env"
        monkeypatch.setattr(settings, "PROJECT_ROOT", tmp_path)
        process.reset()
        yield
        process.reset()

    def test_the_group_is_last(self, tmp_path: Path) -> None:
        decided = decide("MLFLOW_TRACKING_URI", "tracking.uri", "sqlite:///a.db", Typed())
        assert (decided.value, decided.why, decided.folder) == ("sqlite:///a.db", "from conf/tracking", tmp_path)

    def test_dotenv_is_above_the_group(self, tmp_path: Path) -> None:
        self.env.write_text("MLFLOW_TRACKING_URI=sqlite:///b.db\n")
        decided = decide("MLFLOW_TRACKING_URI", "tracking.uri", "sqlite:///a.db", Typed())
        assert (decided.value, decided.folder) == ("sqlite:///b.db", tmp_path)
        assert decided.why == "from MLFLOW_TRACKING_URI in .env"

    def test_the_environment_is_above_dotenv(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.env.write_text("MLFLOW_TRACKING_URI=sqlite:///b.db\n")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///c.db")
        decided = decide("MLFLOW_TRACKING_URI", "tracking.uri", "sqlite:///a.db", Typed(cwd=Path("/here")))
        assert (decided.value, decided.folder) == ("sqlite:///c.db", Path("/here"))

    def test_an_override_is_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///c.db")
        typed = Typed(("tracking.uri=sqlite:///d.db",), Path("/here"))
        decided = decide("MLFLOW_TRACKING_URI", "tracking.uri", "sqlite:///d.db", typed)
        assert (decided.value, decided.folder) == ("sqlite:///d.db", Path("/here"))


def test_a_typed_path_starts_where_the_user_stands_and_one_of_conf_at_the_project(tmp_path: Path) -> None:
    with initialize_config_dir(str(CONF)):
        overrides = ["data=csv", "data.path=my.csv", "data.target=y", "tracking.uri=sqlite:///my.db"]
        cfg = compose("config", overrides)
    typed = Typed(tuple(overrides), tmp_path)
    parsed = parse(cfg, typed)
    assert parsed.data.path == str(tmp_path / "my.csv")
    assert destination.resolve(parsed, typed).uri == f"sqlite:///{tmp_path}/my.db"
    assert destination.resolve(parsed, typed).artifact_root == str(tmp_path / "mlartifacts")
    assert composed().data.path == str(settings.PROJECT_ROOT / "data/raw/housing.csv")
    assert destination.resolve(composed(), Typed(cwd=tmp_path)).uri == f"sqlite:///{settings.PROJECT_ROOT}/mlflow.db"


def test_a_password_in_a_uri_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", "postgresql+psycopg://me:hush@127.0.0.1/mlflow")
    made = composed("tracking.uri=${oc.env:STORE}")
    where = destination.resolve(made, Typed(("tracking.uri=x",)))
    assert where.shown_uri == "postgresql+psycopg://***@127.0.0.1/mlflow"


def test_the_schema_is_what_the_yaml_uses() -> None:
    """A field that no YAML can reach, or a YAML key without a field, would be dead."""
    assert OmegaConf.structured(Config).keys() == OmegaConf.structured(composed()).keys()
