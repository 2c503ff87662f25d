"""The run that is to be trained again, as far as its record says what is needed for that; what it says is data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.lifecycle import records
from boston_exp.lifecycle.comparing.differences import PATCH, PLATFORM, REQUIREMENTS
from boston_exp.lifecycle.reproduction import shapes
from boston_exp.process import temporary_folder
from boston_exp.storage.worktree import without_binaries
from boston_exp.tracking.recorded import PRUNED, PRUNED_TREES, History, RecordedRun
from boston_exp.training.provenance import SCRUBBED

COMMIT = "mlflow.source.git.commit"
HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Original:
    """A recorded run with what it takes to train it again.

    `config` is the composition as it was recorded, `patch` what was not committed, `code` the same without `binaries`,
    which it cannot give back.
    """

    run: RecordedRun
    config: dict[str, Any]
    commit: str
    patch: bytes
    code: bytes
    binaries: tuple[str, ...]
    platform: Mapping[str, Any]
    requirements: str

    @property
    def shown(self) -> str:
        return f"{self.run.run_id} ({self.run.name})"


def read(history: History, run: RecordedRun) -> Original:
    """Raises InvalidConfig for a run that cannot be trained again, with the reason."""
    shown = f"{run.run_id} ({run.name})"
    anew = for_services("run", f"base={run.run_id}") + "   (trains its overrides with the code as it is here)"
    if run.is_sweep:
        best = run.tags.get("best.run_id", "<id of a point>")
        says = f"{shown} is a sweep's run, whose points are trained: its best one is {best}."
        raise InvalidConfig(Fault(says, again(f"run_id={best}")))
    if run.status != "FINISHED" and PRUNED not in run.tags:
        says = f"{shown} is {run.status}: it has no result that could be reproduced."
        raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (lists runs that have one)"))
    if run.status != "FINISHED" and not any(name.startswith(f"{PRUNED}_") for name in run.metrics):
        says = f"{shown} was pruned, and has not recorded the scores of its folds, as later versions do."
        raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (lists runs that have scores)"))
    config = records.parsed(history, run.run_id, records.CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        says = f"{shown} has no {records.CONFIG} that can be read: it was recorded by another program, or not whole."
        raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (lists runs that have)"))
    platform = records.parsed(history, run.run_id, PLATFORM)
    odd = [f"{records.CONFIG}: {each}" for each in shapes.of_config(config)]
    odd += [f"{PLATFORM}: {each}" for each in shapes.of_platform(platform)]
    if odd:
        says = f"{shown} is no record that this project has written. {'; '.join(odd)}."
        raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (lists other runs)"))
    _fill_roles(config, run, shown, anew)
    _fill_trees(config["model"], run)
    commit = run.tags.get(COMMIT, "")
    if not HASH.fullmatch(commit):
        says = f"{shown} has recorded no commit, so nobody knows which code it is from."
        raise InvalidConfig(Fault(says, anew))
    patch = _patch(history, run)
    if not patch and run.tags.get("git.dirty") == "true":
        says = f"{shown} is from uncommitted changes that it could not keep ({run.tags.get('git.patch', 'no patch')})."
        raise InvalidConfig(Fault(says, anew))
    if run.tags.get("git.patch") == SCRUBBED:
        says = f"{shown} is from uncommitted changes with secrets in them, which its patch is without: it does not fit."
        raise InvalidConfig(Fault(says, anew))
    code, binaries = without_binaries(patch)
    requirements = records.text(history, run.run_id, REQUIREMENTS) or ""
    return Original(run, config, commit, patch, code, binaries, platform or {}, requirements)


def _fill_roles(config: dict[str, Any], run: RecordedRun, shown: str, anew: str) -> None:
    """Roles that were in a file of then: the params have what was in it. Raises InvalidConfig where they do not."""
    data = config.get("data") or {}
    if isinstance(data.get("roles"), str):
        try:
            data["roles"] = json.loads(run.params.get("data.roles", ""))
        except ValueError as error:
            says = f"{shown} had its data.roles in the file {data['roles']}, and its params have them not whole."
            raise InvalidConfig(Fault(says, anew)) from error


def _fill_trees(model: dict[str, Any], run: RecordedRun) -> None:
    """One that was pruned at a number of trees has the scores of so many."""
    trees = run.tags.get(PRUNED_TREES, "")
    if trees.isdecimal():
        from boston_exp.experiment.growing import COUNTS

        model[COUNTS.get(str(model.get("_target_")).rpartition(".")[2], "n_estimators")] = int(trees)


def _patch(history: History, run: RecordedRun) -> bytes:
    with temporary_folder() as folder:
        file = history.artifact(run.run_id, PATCH, Path(folder))
        return file.read_bytes() if file else b""
