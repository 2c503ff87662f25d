"""What differs between runs: parameters, data, code, versions of packages, machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boston_exp.process import temporary_folder
from boston_exp.tracking.recorded import History, RecordedRun

CODE = ("mlflow.source.git.commit", "git.dirty", "git.patch", "record.version")
DATA = ("dataset", "data.md5", "data.changed", "split.digest")
PATCH, REQUIREMENTS, PLATFORM = "git/diff.patch", "environment/requirements.txt", "environment/platform.json"


@dataclass(frozen=True)
class Differs:
    """One thing that is not the same in all runs; `values` are in their order, empty where a run has none."""

    kind: str  # parameter, data, code, version, machine
    name: str
    values: tuple[str, ...]


def differences(history: History, runs: list[RecordedRun]) -> list[Differs]:
    """All of them; runs whose environment was not recorded do not differ in it."""
    return differences_between([(history, run) for run in runs])


def differences_between(recorded: list[tuple[History, RecordedRun]]) -> list[Differs]:
    """The same of runs that are not all in one history."""
    runs = [run for _, run in recorded]
    with temporary_folder() as folder:
        files = [_files(history, run, Path(folder) / run.run_id) for history, run in recorded]
    return [
        *_differing("parameter", [run.params for run in runs]),
        *_differing("data", [_only(run.tags, DATA) for run in runs]),
        *_differing("code", [_code(run, each[PATCH]) for run, each in zip(runs, files, strict=True)]),
        *_differing("version", [_versions(each[REQUIREMENTS]) for each in files]),
        *_differing("machine", [_machine(each[PLATFORM]) for each in files]),
    ]


def _differing(kind: str, sides: list[dict[str, str]]) -> Iterable[Differs]:
    if not all(sides):
        return
    for name in sorted({name for side in sides for name in side}):
        values = tuple(side.get(name, "") for side in sides)
        if len(set(values)) > 1:
            yield Differs(kind, name, values)


def _only(tags: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: tags[name] for name in names if name in tags}


def _code(run: RecordedRun, patch: str) -> dict[str, str]:
    return _only(run.tags, CODE) | {"uncommitted changes": patch}


def _files(history: History, run: RecordedRun, folder: Path) -> dict[str, str]:
    """The text of what tells of code and environment; of the patch its digest and length."""
    texts = {}
    for name in (PATCH, REQUIREMENTS, PLATFORM):
        file = history.artifact(run.run_id, name, folder)
        content = file.read_bytes() if file else b""
        texts[name] = content.decode("utf-8", "replace")
    patch = texts[PATCH]
    digest = hashlib.sha256(patch.encode()).hexdigest()[:8]
    return texts | {PATCH: f"{patch.count(chr(10))} lines, sha256 {digest}" if patch else ""}


def _versions(text: str) -> dict[str, str]:
    pairs = (line.partition("==") for line in text.splitlines() if "==" in line)
    found = {name: version for name, _, version in pairs}
    first = text.partition("\n")[0]
    return found | ({"Python": first.removeprefix("# Python ")} if first.startswith("# Python ") else {})


def _machine(text: str) -> dict[str, str]:
    try:
        content: Any = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}
