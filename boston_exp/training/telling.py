"""What a run tells people, besides its numbers: a story in Markdown and, where asked for, a page in HTML."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from boston_exp.config.invocation import again_alone, for_services
from boston_exp.config.schema import Config
from boston_exp.config.settings import Typed
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.slices import groupings, slices
from boston_exp.experiment.split import Split
from boston_exp.reporting.story import run_story
from boston_exp.tracking.destination import Destination
from boston_exp.training import provenance
from boston_exp.training.fingerprint import NUMERIC_LIBRARIES, version

if TYPE_CHECKING:
    from boston_exp.reporting.report import Origin


@dataclass(frozen=True)
class Told:
    """`groups` are the errors by groups of rows, None where no column names any."""

    title: str
    story: str = ""
    groups: pd.DataFrame | None = None
    page: str | None = None


def told(
    title: str,
    typed: Typed,
    config: Config,
    destination: Destination,
    params: dict[str, str],
    dataset: Dataset,
    rows: Split,
    evaluated: Evaluated,
    run_id: str | None,
    with_page: bool,
) -> Told:
    """Of a run that was evaluated; `params` are those that it records, `run_id` is None where nothing is recorded."""
    known = groupings(dataset, rows, config.data.slices)
    groups = slices(dataset, known, rows, evaluated.test_predicted) if known else None
    command = again_alone(typed.overrides)
    next_command = command
    if run_id and evaluated.folds:
        next_command = for_services("leaderboard", *destination.experiment_typed)
    elif run_id:
        next_command = for_services("run", f"base={run_id}", "evaluation=cv")
    story = run_story(title, dataset, rows, evaluated, groups, next_command)
    if not with_page:
        return Told(title, story, groups)

    from boston_exp.reporting.report import run_page  # matplotlib and jinja2 take 0.5 s to import

    recorded = f"Recorded as run {run_id}: base={run_id} takes its settings." if run_id else ""
    origin = origin_of(command, recorded, "the run", params)
    return Told(title, story, groups, run_page(title, origin, dataset, rows, evaluated, groups))


def origin_of(command: str, recorded: str, keeper: str, params: Mapping[str, str]) -> Origin:
    """Where a page's result comes from; `recorded` says as which run, `keeper` what keeps uncommitted changes."""
    from boston_exp.reporting.report import Origin

    code = provenance.code()
    dirty = f"The project had uncommitted changes, which {keeper} keeps as git/diff.patch." if code.dirty else ""
    return Origin(command, code.commit, " ".join(filter(None, [recorded, dirty])), params, _environment())


def write_page(file: str, page: str) -> None:
    """Write a page to its file, once the run that it is of is recorded; raises InvalidConfig if that cannot be done."""
    from boston_exp.reporting import html

    html.write(Path(file), page)
    print(f"report      {file}", file=sys.stderr)


def _environment() -> dict[str, str]:
    """Python, the numeric libraries and the machine, for people."""
    machine = provenance.machine()
    libraries = {name: version(name) for name in NUMERIC_LIBRARIES}
    system = f"{machine['os']} {machine['release']}, {machine['machine']}, {machine['cores']} cores"
    return {"Python": machine["python"], **libraries, "system": system, "CPU": machine["cpu"]}
