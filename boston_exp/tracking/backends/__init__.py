"""Who can record: a backend is one module of this folder, named as `tracking.backend` names it, and its YAML.

Each has `open_tracker(destination)`, which imports what it needs; `open_history(destination)` where it can be read
back; `faults(destination)` where something can be known to be wrong beforehand, without heavy imports; and
`STORES_MODELS`, the module that storing a model imports, where that takes long.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig, Kind, did_you_mean
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Tracker
from boston_exp.tracking.recorded import Adopted, History, Registry, Removal
from boston_exp.tracking.synchronization import Synchronization


def names() -> list[str]:
    """Every value that `tracking.backend` may have."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def faults(destination: Destination) -> list[Fault]:
    """What is known to be wrong with a destination before anything heavy is imported."""
    name, known = destination.backend, names()
    if name not in known:
        says = f"tracking.backend={name} is not possible: choose one of {', '.join(known)}.{did_you_mean(name, known)}"
        return [Fault(says, again("tracking=local", without=["tracking.backend"]), Kind.VALUE)]
    check = getattr(_backend(destination), "faults", None)
    return list(check(destination)) if check else []


def open_tracker(destination: Destination) -> Tracker:
    """The tracker of a destination; raises StoreUnusable if its store cannot be opened, ServerRefuses if a server is
    there and does not accept us."""
    tracker: Tracker = _backend(destination).open_tracker(destination)
    return tracker


def open_history(destination: Destination, experiments: Sequence[str] = ()) -> History:
    """The recorded runs of a destination, read only; of its own experiment unless others are named; empty for a backend
    that cannot be read back."""
    opens = getattr(_backend(destination), "open_history", None)
    if opens is None:
        from boston_exp.tracking.backends.none import NoHistory

        return NoHistory()
    history: History = opens(destination, experiments)
    return history


def open_removal(destination: Destination) -> Removal:
    """What takes runs out of a destination; raises InvalidConfig for a backend that records nothing."""
    removal: Removal = _opened("open_removal", destination, "keeps no runs that could be removed")
    return removal


def open_registry(destination: Destination) -> Registry:
    """The model registry of a destination; raises InvalidConfig for a backend that has none."""
    registry: Registry = _opened("open_registry", destination, "has no model registry")
    return registry


def open_sync(
    destination: Destination, source: str | None, cwd: Path
) -> AbstractContextManager[Sequence[Synchronization]]:
    """What brings runs to a destination: from a source, else from the store beside its server; raises InvalidConfig for
    a backend that does not."""
    opened: AbstractContextManager[Sequence[Synchronization]] = _opened(
        "open_sync", destination, "takes no runs from elsewhere", source, cwd
    )
    return opened


def adopt(destination: Destination, source: Destination, run_id: str, as_what: Adopted) -> str:
    """Copy a run of another store, `source`, to a destination; returns the copy's id.

    Raises RecordingFailed, and InvalidConfig for a backend that records nothing.
    """
    return str(_opened("adopt", destination, "records nothing that could be read back", source, run_id, as_what))


def import_ahead(backend: str) -> list[str]:
    """Modules that storing a model imports: worth importing while there is nothing else to do."""
    module = import_module(f"{__name__}.{backend}") if backend in names() else None
    return [module.STORES_MODELS] if module and hasattr(module, "STORES_MODELS") else []


def _backend(destination: Destination) -> ModuleType:
    return import_module(f"{__name__}.{destination.backend}")


def _opened(opens: str, destination: Destination, lacks: str, *more: Any) -> Any:
    function = getattr(_backend(destination), opens, None)
    if function is None:
        says = f"tracking.backend={destination.backend} {lacks}."
        raise InvalidConfig(Fault(says, again("tracking=local", without=["tracking"])))
    return function(destination, *more)
