"""The command as it was typed, so that a message can give the next one whole: what was typed, with the change in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from boston_exp import process

MULTIRUN = ("-m", "--multirun")
KEPT_FLAGS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")  # each takes a value
PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
OUTPUT = ("name", "report", "quiet")  # settings that say what a command writes, not what is trained
OF_SWEEPS = ("timeout", "max_failures", "search.patience", "search.gain")  # which a single run takes no notice of
IRRELEVANT = ("tracking.log_model", "tracking.on_outage")  # to where runs are
OF_THIS_MACHINE = ("tracking.local_uri", "tracking.artifact_root")  # which reading runs takes no notice of
WORDS = ("null", "true", "false", "nan", "inf")


@dataclass(frozen=True)
class Invocation:
    """`python -m boston_exp.<command> <flags> <overrides>`; only flags that change what is composed."""

    command: str = "run"
    flags: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @staticmethod
    def of(command: str, arguments: Sequence[str]) -> Invocation:
        flags: list[str] = []
        overrides: list[str] = []
        left = iter(arguments)
        for argument in left:
            if argument in MULTIRUN or (argument.partition("=")[0] in KEPT_FLAGS and "=" in argument):
                flags.append(argument)
            elif argument in KEPT_FLAGS:
                flags += [argument, next(left, "")]
            elif not argument.startswith("-"):
                overrides.append(argument)
        return Invocation(command, tuple(flags), tuple(filter(is_override, overrides)))


def is_override(argument: str) -> bool:
    """Whether an argument is an override, and no flag of Hydra's."""
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def sweeps(arguments: Sequence[str]) -> bool:
    """Whether a multirun is asked for."""
    return any(argument in MULTIRUN for argument in arguments)


_current: list[Invocation] = []
process.on_reset(_current.clear)


def begin(invocation: Invocation) -> None:
    """Make this the command that `again` repeats."""
    _current[:] = [invocation]


def current() -> Invocation:
    return _current[0] if _current else Invocation()


def again(*changes: str, without: Iterable[str] = (), multirun: bool | None = None) -> str:
    """The command that was typed, with other overrides, ready for a shell.

    `changes` replace what was typed for the same keys, `without` names keys to leave out, `multirun` sets or removes
    -m.
    """
    typed = current()
    changed = {key_of(change) for change in changes}
    kept = [
        override
        for override in typed.overrides
        if (key := key_of(override)) not in changed
        and not any(key == name or key.startswith(f"{name}.") for name in without)
    ]
    flags = [flag for flag in typed.flags if multirun is None or flag not in MULTIRUN]
    return command_line(typed.command, *flags, *(["-m"] if multirun else []), *kept, *changes)


def again_alone(overrides: Iterable[str]) -> str:
    """The command that trains these overrides alone, with the folders of options that were typed."""
    kept = (override for override in overrides if key_of(override) not in (*OUTPUT, *OF_SWEEPS))
    return command_line("run", *(flag for flag in current().flags if flag not in MULTIRUN), *kept)


def was_typed(key: str) -> bool:
    """Whether the command has an override of this setting."""
    return any(key_of(override) == key for override in current().overrides)


def for_services(command: str, *more: str, default: str | None = None) -> str:
    """Another command on the services that were typed, or on those of `default`: `storage=minio`."""
    left_out = IRRELEVANT if command in ("run", "doctor") else (*IRRELEVANT, *OF_THIS_MACHINE)
    typed = [
        each
        for each in current().overrides
        if key_of(each).partition(".")[0] in ("env", "storage", "tracking") and key_of(each) not in left_out
    ]
    return command_line(command, *(typed or ([default] if default else [])), *more)


def command_line(command: str, *arguments: str) -> str:
    """`python -m boston_exp.<command> <arguments>`, each argument quoted for a shell where it needs it."""
    return shlex.join(["python", "-m", f"boston_exp.{command}", *arguments])


def key_of(override: str) -> str:
    """Of the setting that an override changes: model.ccp_alpha for `+model.ccp_alpha=0.1` and `~model.ccp_alpha`."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def quoted(value: str) -> str:
    """A text as a value of Hydra's override grammar, in double quotes where it would be read as something else; ${ in
    it is no interpolation.

    https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values
    """
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    value = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", value)
    escaped = re.sub(r'(\\*)("|\Z)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), value)
    return f'"{escaped}"'


def quoted_list(values: Iterable[str]) -> str:
    """`[a,b]`, each item quoted where it needs it."""
    return f"[{','.join(map(quoted, values))}]"
