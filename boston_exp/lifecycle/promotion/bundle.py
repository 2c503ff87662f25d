"""The files of a promoted model: what predicts, what it was trained on, what it promises, its card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from boston_exp.config.invocation import OUTPUT, command_line, for_services, key_of
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.lifecycle import evidence, records
from boston_exp.lifecycle.base import SERVICES
from boston_exp.lifecycle.evidence import OUT_OF_FOLD
from boston_exp.lifecycle.model_folder import CARD, CHECKED, MODEL, PAGE, PROFILE, PROMISE
from boston_exp.lifecycle.promise import promise
from boston_exp.lifecycle.promotion.about import About
from boston_exp.lifecycle.promotion.plan import Plan
from boston_exp.lifecycle.ranking.groups import same_rows
from boston_exp.process import temporary_folder
from boston_exp.storage.dvc_file import md5_of
from boston_exp.tracking.model_files import skops_file
from boston_exp.tracking.recorded import History

NEEDED = ("numpy", "pandas", "scikit-learn", "scipy", "skops")
REQUIREMENTS, PLATFORM = "environment/requirements.txt", "environment/platform.json"


def fill(history: History, plan: Plan, model: str, folder: Path) -> None:
    """Write them: model.skops, profile.json and out_of_fold.csv as they were recorded, card.json, card.md, card.html.

    Raises InvalidConfig for a model that is missing, or of types that are not trusted here.
    """
    from boston_exp.lifecycle.promotion import card  # skops.card and matplotlib: 0.8 s, which looking does without

    asked, run = plan.asked, plan.run
    with temporary_folder() as temporary:
        (Path(temporary) / "model").mkdir()
        place = history.model(run.run_id, model, Path(temporary) / "model")
        if place is None:
            says = f"{model} of {run.run_id} ({run.name}) is not where the store says."
            raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}")))
        shutil.copyfile(skops_file(place, model, tuple(asked.config.trusted_packages)), folder / MODEL)
        for artifact in (PROFILE, OUT_OF_FOLD):
            found = history.artifact(run.run_id, artifact, Path(temporary) / "artifacts")
            if found is not None:
                shutil.copyfile(found, folder / artifact)
    about = _about(history, plan, folder)
    text = card.markdown(about)
    (folder / CARD).write_text(text, encoding="utf-8")
    (folder / PAGE).write_text(card.page(text, f"Model card: {asked.name}"), encoding="utf-8")
    told = {
        "name": asked.name,
        "run_id": run.run_id,
        "target": run.params.get("data.target"),
        "unit": run.param("data.target_unit"),
        "model_type": run.tags.get("model_type"),
        "promise": about.promise.as_json(),
        "files": {each: md5_of(folder / each) for each in CHECKED if (folder / each).is_file()},
    }
    (folder / PROMISE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _about(history: History, plan: Plan, folder: Path) -> About:
    """What the card says; of what is in the folder already, that."""
    run = plan.run
    held_out = evidence.tables(history, [run.run_id], evidence.HELD_OUT)[run.run_id]
    if held_out is None:
        says = f"{run.run_id} ({run.name}) has no {evidence.HELD_OUT} that can be read: its card would have no scores."
        raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}", "evaluation=cv")))
    out_of_fold = evidence.table_in(folder, OUT_OF_FOLD)
    config, machine = (_mapping(records.parsed(history, run.run_id, path)) for path in (records.CONFIG, PLATFORM))
    overrides = records.parsed(history, run.run_id, records.OVERRIDES)
    typed = map(str, overrides) if isinstance(overrides, list) else ()
    installed = (records.text(history, run.run_id, REQUIREMENTS) or "").splitlines()
    lacks = []
    if "split.digest" not in run.tags:
        lacks.append("it is a record of version 1: which rows were held out is not known, nor what the others had")
    if out_of_fold is None:
        lacks.append("it has no folds: there are no prediction intervals")
    return About(
        name=plan.asked.name,
        alias=plan.asked.config.alias,
        run=run,
        promise=promise(held_out, out_of_fold),
        verdict=plan.verdict.says,
        slices=evidence.recorded_slices(history, [run])[0],
        consulted=max(1, history.count(same_rows(run))),
        caveats=tuple(map(str, (config.get("data") or {}).get("caveats") or ())),
        requirements=tuple(line for line in installed if line.partition("==")[0].lower() in NEEDED),
        machine={key: str(machine[key]) for key in ("python", "os", "machine", "cpu") if key in machine},
        profile=_profile(folder / PROFILE),
        reproduce=command_line("run", f"base={run.run_id}"),
        overrides=command_line("run", *filter(_is_elsewhere, typed)),
        lacks=tuple(lacks),
        refit=plan.refit,
    )


def _is_elsewhere(override: str) -> bool:
    """Whether an override says what was trained, not where it was recorded."""
    return key_of(override).partition(".")[0] not in (*SERVICES, "hydra", *OUTPUT)


def _profile(file: Path) -> dict[str, Any]:
    try:
        return _mapping(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except ValueError:
        return {}


def _mapping(node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}
