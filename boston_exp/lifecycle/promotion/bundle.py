"""The files of a promoted model: what predicts, what it was trained on, what it promises, its card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from boston_exp.config.invocation import OUTPUT, command_line, for_services, key_of
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.lifecycle import evidence
from boston_exp.lifecycle.base import OVERRIDES, SERVICES
from boston_exp.lifecycle.promise import promise
from boston_exp.lifecycle.promotion import card
from boston_exp.lifecycle.promotion.card import About
from boston_exp.lifecycle.ranking.groups import same_rows
from boston_exp.process import temporary_folder
from boston_exp.storage.dvc_file import md5_of
from boston_exp.tracking.model_files import skops_file
from boston_exp.tracking.recorded import History, RecordedRun

MODEL, PROFILE, OUT_OF_FOLD, PROMISE = "model.skops", "profile.json", "out_of_fold.csv", "card.json"
NEEDED = ("numpy", "pandas", "scikit-learn", "scipy", "skops")


def fill(
    history: History,
    run: RecordedRun,
    model: str,
    trusted: list[str],
    name: str,
    alias: str,
    verdict: str,
    refit: bool,
    folder: Path,
) -> None:
    """Write them: model.skops, profile.json and out_of_fold.csv as they were recorded, card.json, card.md, card.html.

    Raises InvalidConfig for a model that is missing, or of types that are not trusted here.
    """
    with temporary_folder() as temporary:
        (Path(temporary) / "model").mkdir()
        place = history.model(run.run_id, model, Path(temporary) / "model")
        if place is None:
            says = f"{model} of {run.run_id} ({run.name}) is not where the store says."
            raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}")))
        shutil.copyfile(skops_file(place, model, tuple(trusted)), folder / MODEL)
        for artifact in (PROFILE, OUT_OF_FOLD):
            found = history.artifact(run.run_id, artifact, Path(temporary) / "artifacts")
            if found is not None:
                shutil.copyfile(found, folder / artifact)
    about = _about(history, run, name, alias, verdict, refit)
    text = card.markdown(about)
    (folder / "card.md").write_text(text, encoding="utf-8")
    (folder / "card.html").write_text(card.page(text, f"Model card: {name}"), encoding="utf-8")
    told = {
        "name": name,
        "run_id": run.run_id,
        "target": run.params.get("data.target"),
        "unit": run.param("data.target_unit"),
        "model_type": run.tags.get("model_type"),
        "promise": about.promise.as_json(),
        "files": {each: md5_of(folder / each) for each in (MODEL, PROFILE, OUT_OF_FOLD) if (folder / each).is_file()},
    }
    (folder / PROMISE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _about(history: History, run: RecordedRun, name: str, alias: str, verdict: str, refit: bool) -> About:
    held_out = evidence.tables(history, [run.run_id], evidence.HELD_OUT)[run.run_id]
    if held_out is None:
        says = f"{run.run_id} ({run.name}) has no {evidence.HELD_OUT} that can be read: its card would have no scores."
        raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}", "evaluation=cv")))
    out_of_fold = evidence.tables(history, [run.run_id], evidence.OUT_OF_FOLD)[run.run_id]
    paths = ("config/config.yaml", "environment/requirements.txt", "environment/platform.json", PROFILE, OVERRIDES)
    texts = _texts(history, run, paths)
    config = _node(texts[0])
    machine = _node(texts[2])
    needed = [line for line in (texts[1] or "").splitlines() if line.partition("==")[0].lower() in NEEDED]
    lacks = []
    if "split.digest" not in run.tags:
        lacks.append("it is a record of version 1: which rows were held out is not known, nor what the others had")
    if out_of_fold is None:
        lacks.append("it has no folds: there are no prediction intervals")
    caveats = (config.get("data") or {}).get("caveats") or ()
    return About(
        name=name,
        alias=alias,
        run=run,
        promise=promise(held_out, out_of_fold),
        verdict=verdict,
        slices=evidence.recorded_slices(history, [run])[0],
        consulted=max(1, history.count(same_rows(run))),
        caveats=tuple(map(str, caveats)),
        requirements=tuple(needed),
        machine={key: str(machine[key]) for key in ("python", "os", "machine", "cpu") if key in machine},
        profile=_node(texts[3]),
        reproduce=command_line("run", f"base={run.run_id}"),
        overrides=command_line("run", *filter(_is_elsewhere, _items(texts[4]))),
        lacks=tuple(lacks),
        refit=refit,
    )


def _is_elsewhere(override: str) -> bool:
    """Whether an override says what was trained, not where it was recorded."""
    return key_of(override).partition(".")[0] not in (*SERVICES, "hydra", *OUTPUT)


def _texts(history: History, run: RecordedRun, names: tuple[str, ...]) -> list[str | None]:
    with temporary_folder() as folder:
        files = [history.artifact(run.run_id, name, Path(folder)) for name in names]
        return [file.read_text(encoding="utf-8", errors="replace") if file else None for file in files]


def _node(text: str | None) -> dict[str, Any]:
    found = _parsed(text)
    return found if isinstance(found, dict) else {}


def _items(text: str | None) -> list[str]:
    found = _parsed(text)
    return [str(each) for each in found] if isinstance(found, list) else []


def _parsed(text: str | None) -> Any:
    """A record is data: what cannot be read of it is left out of the card."""
    try:
        return yaml.safe_load(text or "")
    except yaml.YAMLError:
        return None
