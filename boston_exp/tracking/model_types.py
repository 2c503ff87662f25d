"""Which types a stored model may hold: those of trusted packages, and data of Python and NumPy that cannot run code."""

from __future__ import annotations

from importlib import import_module

import numpy as np
from sklearn.base import BaseEstimator, clone

from boston_exp import process
from boston_exp.config.invocation import again, quoted_list
from boston_exp.config.schema import TRUSTED
from boston_exp.errors import Fault, InvalidConfig, RecordingFailed
from boston_exp.experiment.split import Split

PROBE = 100  # rows that an estimator of another package is fitted on, to see what it will hold

# Containers and values of the standard library: loading one calls nothing of its content.
HARMLESS = frozenset(
    {
        "collections.OrderedDict", "collections.Counter", "collections.deque", "datetime.date", "datetime.datetime",
        "datetime.time", "datetime.timedelta", "datetime.timezone", "decimal.Decimal", "fractions.Fraction",
        "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.Path", "pathlib.PurePosixPath", "uuid.UUID",
        "builtins.complex", "builtins.bytes", "builtins.bytearray", "builtins.frozenset", "builtins.range",
        "builtins.slice", "builtins.NoneType", "builtins.ellipsis",
    }
)  # fmt: skip
# Modules of the packages trusted by default that hold no part of an estimator, but what fetches, removes, runs scripts.
# skrub's graphs of operations can call anything, its language models are downloaded when they are used.
NO_PARTS = (
    "sklearn.datasets",
    "sklearn.utils._testing",
    "sklearn.utils.discovery",
    "sklearn.conftest",
    "sklearn.tests",
    "skrub.datasets",
    "skrub._data_ops",
    "skrub._llm_encoder",
    "skrub._reporting",
    "skrub.conftest",
)
# skrub's helpers import by name and set options; of its functions a TableVectorizer holds those that look at columns.
SKRUB_FUNCTIONS = ("skrub._dataframe.", "skrub._table_vectorizer", "skrub.selectors.")
DATA_PACKAGES = ("numpy", "scipy")  # whose classes and ufuncs are accepted; a function such as numpy.load is not

_by_class: dict[tuple[str, ...], list[str]] = {}
process.on_reset(_by_class.clear)


def types_to_trust(estimator: BaseEstimator, trusted_packages: tuple[str, ...], known: bool = True) -> list[str]:
    """The types that skops wants to see named before it loads this model.

    Determined once per process and class of estimator (`known`), because it takes a second dump of the model. Raises
    RecordingFailed if one is from a package that is not trusted.
    """
    parts = (estimator, *estimator.get_params().values())
    key = tuple(sorted({type(part).__qualname__ for part in parts}))
    if not known or key not in _by_class:
        _by_class[key] = _named_by_skops(estimator)
    foreign = foreign_types(_by_class[key], trusted_packages)
    if foreign:
        raise RecordingFailed(_fault(foreign, trusted_packages))
    return _by_class[key]


def check_storable(estimator: BaseEstimator, rows: Split, trusted_packages: tuple[str, ...]) -> None:
    """Raise InvalidConfig, before the training, if the fitted model would hold types that are not trusted.

    What scikit-learn and skrub hold is known; an estimator of another package is fitted on a few rows to find out.
    """
    homes = {type(part).__module__ for part in (estimator, *estimator.get_params().values())}
    known = {home for home in homes if not home.startswith(NO_PARTS)}
    if homes == known and {home.partition(".")[0] for home in homes} <= {*TRUSTED, "builtins", *DATA_PACKAGES}:
        return
    probe = clone(estimator)
    try:
        probe.fit(rows.X_train.head(PROBE), rows.y_train.head(PROBE))
        found = _named_by_skops(probe)
    except Exception:  # the training tells better what is wrong with the fit
        return
    foreign = foreign_types(found, trusted_packages)
    if foreign:
        raise InvalidConfig(_fault(foreign, trusted_packages))


def _named_by_skops(estimator: BaseEstimator) -> list[str]:
    import skops.io  # 0.2 s, which only a stored model is worth

    found: list[str] = skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
    return found


def foreign_types(found: list[str], trusted_packages: tuple[str, ...]) -> list[str]:
    """Those of the types that neither belong to a trusted package nor are data that cannot run code."""
    return [name for name in found if not (_is_part(name, trusted_packages) or name in HARMLESS or _is_data(name))]


def _is_part(name: str, trusted_packages: tuple[str, ...]) -> bool:
    """Whether the name is that of something which a trusted package has made itself: its modules hold what they import,
    too, and the packages that are trusted by default have functions that fetch, remove and run."""
    module, _, attribute = name.rpartition(".")
    package = module.partition(".")[0]
    if package not in trusted_packages:
        return False
    if package not in TRUSTED:
        return True  # all of it is trusted: that is what naming it means
    try:
        named = getattr(import_module(module), attribute, None)
    except ImportError:
        return False
    home = str(getattr(named, "__module__", ""))
    if not home.startswith(f"{package}.") or home.startswith(NO_PARTS) or ".tests" in home:
        return False
    return package == "sklearn" or isinstance(named, type) or home.startswith(SKRUB_FUNCTIONS)


def check_loadable(found: list[str], trusted_packages: tuple[str, ...]) -> None:
    """Raise InvalidConfig if a stored model holds types that are not trusted here, whatever it says of itself."""
    foreign = foreign_types(found, trusted_packages)
    if foreign:
        raise InvalidConfig(_fault(foreign, trusted_packages, loaded=True))


def _is_data(name: str) -> bool:
    """Whether the name is that of a class or a ufunc of NumPy or SciPy: data, not a function that could do anything."""
    module, _, attribute = name.rpartition(".")
    if module.partition(".")[0] not in DATA_PACKAGES:
        return False
    try:
        named = getattr(import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(named, type | np.ufunc)


def _fault(foreign: list[str], trusted_packages: tuple[str, ...], loaded: bool = False) -> Fault:
    says = f"The model holds types that are not from trusted_packages: {', '.join(foreign)}."
    packages = dict.fromkeys([*trusted_packages, *(name.partition(".")[0] for name in foreign)])
    trust, more = f"trusted_packages={quoted_list(packages)}", len(packages) > len(trusted_packages)
    if loaded:
        return Fault(says, f"{again(trust)}   (only if you trust that code)" if more else again(without=["from_model"]))
    return Fault(says, again("tracking.log_model=none") + (f"   (or trust them: {trust})" if more else ""))
