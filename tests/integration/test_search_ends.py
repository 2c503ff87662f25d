"""What ends a sweep before its last point, and what the same command does then; what a search says of itself."""

from __future__ import annotations

import shlex
from pathlib import Path

import optuna
import pytest

from tests.conftest import Command
from tests.integration.test_sweeps import BAD, SEARCH, History

pytestmark = pytest.mark.usefixtures("bad_day")
SLOW = (*BAD, "model.alpha=range(1,41)", "+model.seconds=0.4", "figures=none", "tracking.log_model=none")
WORKERS = {"basic": (), "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", WORKERS)
def test_the_clock_ends_a_sweep_and_the_same_command_goes_on(command: Command, store: Path, launcher: str) -> None:
    """However little was done by then: exit code 0, and nothing is tried again that is done."""
    result = command("-m", *SLOW, *WORKERS[launcher], "timeout=5")
    assert result.code == 0, result.err
    assert "timeout=5 seconds are over; the same command goes on from here" in result.out
    assert "not tried" in result.out
    history = History(store)
    assert history.statuses["RUNNING"] == 0
    assert history.parent.info.status == "FINISHED"
    assert history.parent.data.tags["sweep.ended_by"].startswith("timeout=5")
    done = history.statuses["FINISHED"]
    result = command("-m", *SLOW, *WORKERS[launcher])
    assert f"{40 - done} done" in result.out
    history = History(store)
    assert history.statuses["FINISHED"] == 40
    assert set(history.statuses) <= {"FINISHED", "KILLED"}
    assert history.parent.data.tags["sweep.ended_by"] == "its last point"


class TestSearch:
    @pytest.fixture(autouse=True)
    def _study(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/optuna.db"
        quick = ("evaluation=holdout", "tracking.log_model=none", "hydra.sweeper.n_trials=4")
        self.overrides = ("-m", *SEARCH, *quick, f"hydra.sweeper.storage={self.url}")

    def test_patience_is_told_in_one_line_and_a_larger_one_goes_on(self, command: Command) -> None:
        more = ("hydra.sweeper.n_trials=30", "search.patience=2")
        result = command(*self.overrides, *more)
        assert result.code == 0
        (line,) = [line for line in result.out.splitlines() if "patience" in line and line.startswith("ended early")]
        assert line.endswith("points have not improved on the best; a larger search.patience goes on")
        before = len(self.trials())
        assert before < 30
        assert f"{before} reused" in command(*self.overrides, *more).out
        assert len(self.trials()) == before
        command(*self.overrides, "hydra.sweeper.n_trials=30", "search.patience=4")
        assert len(self.trials()) > before

    def test_a_search_without_an_end_is_refused(self, command: Command) -> None:
        result = command(*self.overrides, "hydra.sweeper.n_trials=null")
        assert result.code == 2
        assert "hydra.sweeper.n_trials=null has no end" in result.err
        assert "timeout=600" in result.err

    def test_patience_ends_a_search_without_a_number_of_trials(self, command: Command) -> None:
        result = command(*self.overrides, "hydra.sweeper.n_trials=null", "search.patience=2")
        assert result.code == 0, result.err
        assert "not improved" in result.out

    def test_fewer_trials_than_there_are(self, command: Command) -> None:
        command(*self.overrides)
        result = command(*self.overrides, "hydra.sweeper.n_trials=3")
        assert "optuna of 3 points: 4 reused (1 more than asked for)" in result.out
        assert "not tried" not in result.out

    @pytest.mark.parametrize(
        ("change", "now"),
        [
            ("hydra.sweeper.sampler.seed=7", "TPESampler, seed 7"),
            ("hydra/sweeper/sampler=random", "RandomSampler, seed 1"),
        ],
    )
    def test_another_sampler_goes_on_with_the_old_trials_and_says_so(
        self, command: Command, change: str, now: str
    ) -> None:
        kept = [each for each in self.overrides if change.partition("=")[0] not in each]
        command(*self.overrides)
        result = command(*kept, change, "hydra.sweeper.n_trials=5")
        assert f"the study goes on with its 4 trials by TPESampler, seed 1; from here on by {now}" in result.err
        assert "hydra.sweeper.study_name=" in result.err
        assert "goes on with" not in command(*kept, change, "hydra.sweeper.n_trials=6").err
        (command_line,) = [line for line in result.err.splitlines() if line.startswith("a study of its own: ")]
        typed = shlex.split(command_line)[shlex.split(command_line).index("boston_exp.run") + 1 :]
        assert command(*typed).code == 0
        assert len(optuna.get_all_study_names(self.url)) == 2

    def test_the_study_that_is_suggested_is_that_of_no_other_search(self, command: Command) -> None:
        """Two searches get a command each with the same sampler in it: `study_name=TPESampler-7` was refused by the
        second, as another one's."""
        names = []
        for alpha in ("1,2", "3,4"):
            search = [*self.overrides, f"model.alpha=interval({alpha})"]
            command(*search)
            said = command(*search, "hydra.sweeper.sampler.seed=7", "hydra.sweeper.n_trials=5").err
            names.append(said.partition("hydra.sweeper.study_name=")[2].splitlines()[0])
        assert all(names)
        assert names[0] != names[1]

    def test_names_can_be_read(self, command: Command) -> None:
        command(*self.overrides)
        (name,) = optuna.get_all_study_names(self.url)
        assert name.startswith("Ridge rmse ")
        assert optuna.load_study(study_name=name, storage=self.url).metric_names == ["rmse"]

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        (name,) = optuna.get_all_study_names(self.url)
        return optuna.load_study(study_name=name, storage=self.url).trials
