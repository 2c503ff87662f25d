"""The shell that all commands share: Hydra's main, what was typed, refused secrets, SIGTERM, exit codes, completion."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from boston_exp import process, redaction
from boston_exp.config import checks, invocation
from boston_exp.config.commands import Recorded
from boston_exp.config.compat import around_hydra
from boston_exp.config.invocation import Invocation
from boston_exp.config.parsing import parse
from boston_exp.config.schema import CONF
from boston_exp.config.secrecy import refuse_hydras, refuse_typed, remove_composed
from boston_exp.config.settings import PROJECT_ROOT, ROOT_VARIABLE, Typed
from boston_exp.config.spelling import spelled
from boston_exp.errors import DiskRefuses, ExpectedFailure, Fault, InvalidConfig, Kind, print_failure
from boston_exp.signals import Terminated, raising, received, terminable
from boston_exp.storage.disk import refusals_expected
from boston_exp.tracking import backends
from boston_exp.tracking import destination as destinations
from boston_exp.tracking.destination import Destination

Returned = TypeVar("Returned")
Composed = TypeVar("Composed", bound=Recorded)

# Hydra completes scripts and installed commands only: appended to what `-sc install=bash` prints, this completes
# `python -m boston_exp.<command>`; anything else that is typed after python goes to Hydra's function.
BASH = """
boston_exp_completion()
{
    local words=($COMP_LINE)
    if [ "${words[1]}" == "-m" ] && [[ "${words[2]}" == boston_exp.* ]] && [ "$COMP_CWORD" -gt 2 ]; then
        local line="${words[2]}${COMP_LINE#*"${words[2]}"}" word="${COMP_WORDS[$COMP_CWORD]}"
        local choices=$(COMP_LINE="$line" "${words[0]}" -m "${words[2]}" -sc query=bash)
        COMPREPLY=($(compgen -o nospace -o default -W "$choices" -- "$word"))
    else
        hydra_bash_completion
    fi
}
complete -o nospace -o default -F boston_exp_completion python
"""


def task(config_name: str) -> Callable[[Callable[[DictConfig], Returned]], Callable[[], Returned]]:
    """Make a function of the composed configuration a command: Hydra composes `conf/<config_name>.yaml` and calls it.

    An expected failure of a single run is printed and exits 2; in a multirun it reaches the sweeper.
    """

    def decorate(function: Callable[[DictConfig], Returned]) -> Callable[[], Returned]:
        @functools.wraps(function)
        def guarded(cfg: DictConfig) -> Returned:
            try:
                with refusals_expected():
                    refuse_hydras(HydraConfig.get())
                    return function(cfg)
            except ExpectedFailure as failure:
                if any(fault.kind is Kind.SECRET for fault in failure.faults):
                    remove_composed(HydraConfig.get())
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise
                print_failure(failure)
                sys.exit(2)
            except BrokenPipeError:  # `| head` has seen enough
                _leave_pipe()

        return hydra.main(config_path=str(CONF), config_name=config_name, execution_whitelist=[])(guarded)

    return decorate


def typed() -> Typed:
    """Inside of a task: the overrides as they were typed, interpolations unresolved, and where."""
    config = HydraConfig.get()
    overrides: Any = OmegaConf.to_container(config.overrides.task, resolve=False)
    return Typed(tuple(map(str, overrides)), Path(config.runtime.cwd))


def recorded(cfg: DictConfig, schema: type[Composed]) -> tuple[Composed, Typed, Destination]:
    """Inside of the task of a command after a run: its configuration, what was typed, and where runs are recorded.

    Raises InvalidConfig for all that is wrong with them, before anything heavy is imported.
    """
    given = typed()
    config: Composed = parse(cfg, given, schema)
    destination: Destination = destinations.resolve(config, given)
    faults = [*checks.out_of_range("", config), *backends.faults(destination)]
    if faults:
        raise InvalidConfig(*faults)
    return config, given, destination


def main(name: str, command: Callable[[], Any], prepare: Callable[[list[str]], list[str]] | None = None) -> None:
    """Run `python -m boston_exp.<name>`; `prepare` may replace what was typed before Hydra reads it.

    Exit code 0, 1 where Hydra or the command says so, 2 after an expected failure, 130 after Ctrl-C, 143 after SIGTERM.
    """
    # GNU OpenMP's threads wait some microseconds awake, then sleep: its default of milliseconds stalls a busy machine
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        interrupted = raising(signal.SIGINT, KeyboardInterrupt, once=False)
        with redaction.streams(), terminable(), interrupted, _exit_codes(), around_hydra(_disks_expected):
            redaction.log_records()
            logging.raiseExceptions = False  # a log file on a full disk is not worth a traceback a line
            _require_project()
            sys.argv[1:] = spelled(sys.argv[1:])
            invocation.begin(Invocation.of(name, sys.argv[1:]))
            refuse_typed(sys.argv[1:])
            if prepare is not None:
                sys.argv[1:] = prepare(sys.argv[1:])
                invocation.begin(Invocation.of(name, sys.argv[1:]))
                refuse_typed(sys.argv[1:])
            if name != "run" and invocation.sweeps(sys.argv[1:]):
                raise InvalidConfig(Fault(f"{name} does not sweep.", invocation.again(multirun=False)))
            command()
        if "install=bash" in sys.argv and {"-sc", "--shell-completion", "--shell_completion"} & set(sys.argv):
            print(BASH)
    except SystemExit as stop:
        process.leave(stop.code if isinstance(stop.code, int) else 1)
        raise
    process.leave(0)


def _require_project() -> None:
    """Raise InvalidConfig where the package is installed alone; tell workers where the project is."""
    if not (CONF / "config.yaml").is_file():
        says = (
            f"boston_exp is installed in {PROJECT_ROOT}, without conf/, and {Path.cwd()} is not inside of the project."
        )
        raise InvalidConfig(Fault(says, "cd <the project's folder>   (or, there: python -m pip install -e .)"))
    os.environ[ROOT_VARIABLE] = str(PROJECT_ROOT)


def _disks_expected(call: Callable[[], Any]) -> Any:
    """Outside of a job, a disk that refuses ends the command with a message; inside, `task` has seen to it."""
    try:
        with refusals_expected():
            return call()
    except DiskRefuses as failure:
        print_failure(failure)
        sys.exit(2)


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Print expected failures, set the exit code, and leave everything else to Hydra.

    Hydra reports a job's exception through `sys.excepthook` and then exits 1, in a single run and in a sweep alike, so
    the hook is where ours are printed; what Hydra refuses keeps its message and its code.
    """

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, ExpectedFailure):
            print_failure(error)
        elif received() is None:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook
    try:
        yield
    except ExpectedFailure as failure:  # HYDRA_FULL_ERROR=1, or raised outside of a job
        print_failure(failure)
        sys.exit(2)
    except BrokenPipeError:  # `--help | head`
        _leave_pipe()
    except KeyboardInterrupt as interruption:
        _exit_after(signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT)
    except Exception:
        number = received()
        if number is None:
            raise
        _exit_after(number)
    except SystemExit as stop:
        number = received()
        if isinstance(stop.__context__, ExpectedFailure):
            sys.exit(2)
        if number is not None and stop.code == 1:  # Hydra has reported what the signal's exception turned into
            _exit_after(number)
        raise


def _leave_pipe() -> NoReturn:
    """Exit quietly: whoever reads the output has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)


def _exit_after(number: int) -> NoReturn:
    """Exit as a shell expects it of a program that was ended by a signal."""
    process.abandon_threads()  # nor does Python kill itself, for an interruption that passed through its `exec`
    print("terminated" if number == signal.SIGTERM else "interrupted", file=sys.stderr)
    sys.exit(128 + number)
