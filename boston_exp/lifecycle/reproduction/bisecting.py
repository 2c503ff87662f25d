"""Which of the differences explains that results are not the same: one thing at a time as it was then, and again.

The code is never it: both trainings have the recorded one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boston_exp.errors import ExpectedFailure
from boston_exp.lifecycle.comparing.differences import Differs
from boston_exp.lifecycle.reproduction import environments, explaining, matching
from boston_exp.lifecycle.reproduction.environments import CannotBuildError
from boston_exp.lifecycle.reproduction.outcome import Reproduced, Tried, largest, same
from boston_exp.lifecycle.reproduction.retraining import THREADS, Retrained
from boston_exp.tracking.recorded import History

KERNEL = "OPENBLAS_CORETYPE"  # https://github.com/OpenMathLib/OpenBLAS#setting-the-target-with-environment-variables

NUMPY = "NPY_DISABLE_CPU_FEATURES"  # https://numpy.org/doc/stable/reference/simd/build-options.html#runtime-dispatch


@dataclass(frozen=True)
class Change:
    """Something as it was then: variables of the environment, or versions. `differs` has to be gone with it."""

    name: str
    differs: tuple[Differs, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()


def tried(
    history: History,
    outcome: Reproduced,
    folder: Path,
    train: Callable[..., Retrained],
    doing: Callable[[str], None],
) -> Iterator[Tried]:
    """What was tried, the cheap first, until one explains it; at last all of it together. `train` trains in a new
    folder, with what a change needs."""
    changes = list(_changes(outcome.differing))
    for number, change in enumerate([*changes, *_together(changes)]):
        doing(f"trying {change.name}")
        found = _try(history, outcome, change, folder / f"tried-{number}", train)
        yield found
        if found.explains:
            return


def _changes(differing: tuple[Differs, ...]) -> Iterator[Change]:
    kernels = [each for each in differing if each.name.startswith("BLAS") and each.name.endswith("kernel")]
    if kernels:
        then = kernels[0].values[0]
        yield Change(f"the BLAS kernel {then}", tuple(kernels), {KERNEL: then})
    for each in differing:
        known, used = (set(value.split()) - {"none"} for value in each.values)
        if each.name == explaining.SIMD and known < used:
            without = " ".join(sorted(used - known))
            yield Change(f"NumPy without {without}", (each,), {NUMPY: without})
    for kind, library in explaining.KINDS.items():
        threads = [each for each in differing if each.name.startswith(library) and each.name.endswith("threads")]
        if threads:
            then = threads[0].values[0]
            count = str(min(int(then), os.cpu_count() or 1)) if then.isdecimal() else then
            yield Change(f"{then} threads of {library}", tuple(threads), dict.fromkeys(THREADS[kind], count))
    for each in differing:
        if explaining.is_numeric(each) and each.name != "Python" and each.values[0]:
            requirement = f"{each.name}=={each.values[0]}"
            yield Change(f"{each.name} {each.values[0]}", (each,), requirements=(requirement,))


def _together(changes: list[Change]) -> Iterator[Change]:
    if len(changes) > 1:
        variables = {name: value for change in changes for name, value in change.variables.items()}
        requirements = tuple(each for change in changes for each in change.requirements)
        differs = tuple(each for change in changes for each in change.differs)
        yield Change(" and ".join(change.name for change in changes) + " together", differs, variables, requirements)


def _try(history: History, outcome: Reproduced, change: Change, folder: Path, train: Callable[..., Retrained]) -> Tried:
    try:
        packages = (
            environments.overlay(change.requirements, Path(f"{folder}-packages")) if change.requirements else None
        )
        new = train(folder, variables=change.variables, packages=packages)
    except (CannotBuildError, ExpectedFailure) as failure:
        return Tried(change.name, f"cannot be tried here: {str(failure).splitlines()[0]}", False)
    before, after = (history, outcome.of.run), (new.history, new.run)
    left = {each.name for each in explaining.differing(before, after)} & {each.name for each in change.differs}
    if left:
        return Tried(change.name, f"cannot be had here: {', '.join(sorted(left))} stays as it is", False)
    matches = matching.matches(before, after)
    if same(matches, outcome.tolerance):
        within = "identical to the last bit" if same(matches, 0.0) else f"within tolerance={outcome.tolerance:g}"
        return Tried(change.name, within, True)
    return Tried(change.name, f"not the same, by {largest(matches):.2g}", False)
