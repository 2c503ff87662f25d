"""`base=<run>`: the recorded overrides of an earlier run, then what is typed, before Hydra composes anything."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from boston_exp.config.commands import Recorded
from boston_exp.config.invocation import again, for_services, is_override, key_of, quoted
from boston_exp.config.schema import CONF
from boston_exp.config.settings import Typed
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.tracking.recorded import History, RecordedRun

KEY = "base"
SERVICES = ("tracking", "storage", "env")  # where it was recorded, which is no part of what it is
# Not taken from a record, which may be another person's: what runs or trusts code is typed by whoever runs it.
HOW = ("skip_finished", "max_failures", "detach", "timeout", "name", "quiet", "report")  # it went, and was told
LEFT_OUT = (*SERVICES, *HOW, "hydra", "trusted_packages", KEY)


def expanded(arguments: list[str]) -> list[str]:
    """The command's arguments with `base=` replaced by the overrides of that run; says what was taken.

    What is typed wins. Raises InvalidConfig for a run that cannot be found or has no overrides.
    """
    text = Typed(tuple(each for each in arguments if not each.startswith("-"))).text(KEY)
    if text is None:
        return arguments
    rest = [each for each in arguments if not is_override(each) or key_of(each) != KEY]
    history = _history(rest)

    from boston_exp.lifecycle import selection

    run = selection.identified(history, text, KEY)
    recorded = _recorded(history, run)
    typed = [each for each in rest if is_override(each)]
    taken = list(_taken(recorded, run, typed))
    left = [each for each in recorded if not _may_be_taken(each) and _group(each) not in SERVICES]
    told = " ".join(taken) or "no overrides: it was the default experiment"
    print(f"base        {run.run_id} ({run.name}): {told}", file=sys.stderr)
    if left:
        print(f"left out    {' '.join(left)}   (type it if you want it)", file=sys.stderr)
    place = next((number for number, each in enumerate(rest) if is_override(each)), len(rest))
    return [*rest[:place], *taken, *rest[place:]]


def _recorded(history: History, run: RecordedRun) -> list[str]:
    from boston_exp.lifecycle import records  # yaml, which --help and --cfg do without

    if run.is_sweep:
        best = run.tags.get("best.run_id", "<id of a point>")
        says = f"base={run.run_id} is a sweep's run, which has ranges, not values: its best point is {best}."
        raise InvalidConfig(Fault(says, again(f"base={best}")))
    found = records.parsed(history, run.run_id, records.OVERRIDES)
    if not isinstance(found, list):
        says = f"base={run.run_id} ({run.name}, {run.status}) has no {records.OVERRIDES} that can be read."
        raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (lists runs that have)"))
    return [str(each) for each in found]


def _taken(recorded: list[str], run: RecordedRun, typed: list[str]) -> Iterator[str]:
    """What still says something beside what is typed; a relative path as the absolute one that it was."""
    keys = {key_of(each) for each in typed}
    groups = {key for key in keys if "." not in key and "/" not in key}  # `model=ridge` leaves no model.max_depth
    for override in recorded:
        key = key_of(override)
        again_added = override.startswith("+") and not any(
            each.startswith("+") for each in typed if key_of(each) == key
        )
        if not _may_be_taken(override) or ("." in key and _group(override) in groups):
            continue
        if key == "data.path" and key not in keys:
            yield f"data.path={quoted(run.params.get('data.path', ''))}"
        elif key not in keys or again_added:
            yield override


def _may_be_taken(override: str) -> bool:
    """Whether it sets a value, and nothing else: what begins with a dash would be a flag of Hydra's, and `${…}` would
    look up what this person's environment has."""
    return re.match(r"[+~]{0,2}\w", override) is not None and "${" not in override and _group(override) not in LEFT_OUT


def _history(arguments: list[str]) -> History:
    """The runs of where this command records: tracking, storage and environment as they were typed, composed alone."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from boston_exp.config.parsing import parse
    from boston_exp.tracking import backends
    from boston_exp.tracking import destination as destinations

    chosen = [each for each in arguments if is_override(each) and _group(each) in SERVICES]
    given = Typed(tuple(chosen), Path.cwd())
    try:
        with initialize_config_dir(config_dir=str(CONF), job_name="run"):
            cfg = compose("history", overrides=[*chosen, *_search_path(arguments)])
    except (HydraException, OmegaConfBaseException) as error:
        GlobalHydra.instance().clear()
        print(error, file=sys.stderr)
        sys.exit(1)  # as Hydra does where it composes the whole
    destination = destinations.resolve(parse(cfg, given, Recorded), given)
    faults = backends.faults(destination)
    if faults:
        raise InvalidConfig(*faults)
    return backends.open_history(destination)


def _search_path(arguments: list[str]) -> list[str]:
    """Where `--config-dir` has more groups, as an override."""
    for number, argument in enumerate(arguments):
        flag, given, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            folder = value if given else arguments[number + 1] if number + 1 < len(arguments) else ""
            return [f"hydra.searchpath=[{quoted(f'file://{(Path.cwd() / folder).resolve()}')}]"]
    return []


def _group(override: str) -> str:
    """`model` of model=ridge, model.alpha=1 and model/part=x."""
    return key_of(override).partition(".")[0].partition("/")[0]
