"""What is wrong with a sweep as a whole, and what all of its points have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from boston_exp.config import checks
from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.config.settings import Typed
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.experiment.metrics import direction, objective_faults
from boston_exp.sweep.cluster.protocol import CLUSTERS, RAY, SLURM
from boston_exp.sweep.composing import Composer
from boston_exp.sweep.ending import gain_faults
from boston_exp.sweep.plan import Aim, name_of, sweep_key
from boston_exp.sweep.search import Search
from boston_exp.sweep.workers import kind_of, n_jobs_fault
from boston_exp.tracking import backends
from boston_exp.tracking import destination as destinations
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import SweepPlan
from boston_exp.training import provenance
from boston_exp.training.naming import sweep_name


@dataclass(frozen=True)
class Checked:
    """What all points have in common, once nothing is wrong with it."""

    config: Config  # of the first point
    typed: Typed
    destination: Destination
    aim: Aim
    key: str
    about: str  # what is trained on what


def checked(composer: Composer, search: Search) -> Checked:
    """Refuse what is wrong with every point now; what is wrong with one alone is that point's failure."""
    first, last = search.corners()
    _, config, typed = composer.parsed(first)
    destination = destinations.resolve(config, typed)
    of_last = composer.parsed(last)[1]
    everywhere = set(_faults(of_last))
    faults = [fault for fault in _faults(config) if fault in everywhere]
    faults += [*backends.faults(destination), *_launcher_faults(composer.master.hydra.launcher, destination)]
    faults += _detach_faults(composer, destination)
    metrics = tuple(config.objective.metrics)
    aim = Aim(metrics, tuple(direction(metric) for metric in metrics))
    everywhere = set(search.faults(aim, of_last))
    faults += [fault for fault in search.faults(aim, config) if fault in everywhere]
    faults += _endless(search, config)
    faults += gain_faults(config.search.gain, search.kind, aim, config.evaluation.n_splits)
    if faults:
        raise InvalidConfig(*faults)
    return Checked(config, typed, destination, aim, *_looked_at(config, typed, aim, search))


def _endless(search: Search, config: Config) -> Iterator[Fault]:
    if search.total is None and config.timeout is None and config.search.patience is config.search.gain is None:
        mend = again("timeout=600", multirun=True) + "   (seconds; or search.patience=20, or hydra.sweeper.n_trials=30)"
        yield Fault("hydra.sweeper.n_trials=null has no end: no timeout, search.patience or search.gain.", mend)


def _faults(config: Config) -> list[Fault]:
    return [*checks.faults(config), *objective_faults(config)]


def _launcher_faults(settings: DictConfig, destination: Destination) -> Iterator[Fault]:
    """Workers of another machine would each see another sqlite file under the same name.

    With a server they keep a store of their own and publish what is in it.
    """
    fault = n_jobs_fault(settings)
    if fault:
        yield fault
    path = destination.sqlite_path
    if path is None or destination.server:
        return
    mend = again("tracking.uri=http://<host>:5000", multirun=True) + "   (an MLflow server that all of them reach)"
    if kind_of(settings) == SLURM:
        yield Fault(f"Slurm's workers are on other machines and cannot share the sqlite store {path}.", mend)
    if kind_of(settings) == RAY:
        from boston_exp.sweep.cluster.ray import nodes_elsewhere

        nodes = nodes_elsewhere(settings.ray.init)
        if nodes:
            says = f"Ray's nodes {', '.join(nodes)} are other machines and cannot share the sqlite store {path}."
            yield Fault(says, mend)


def _detach_faults(composer: Composer, destination: Destination) -> Iterator[Fault]:
    """What is left on a cluster needs one that outlives this command, and a parent run that remembers it."""
    if not composer.master.detach:
        return
    launcher = composer.master.hydra.launcher
    if kind_of(launcher) not in CLUSTERS:
        mend = again("hydra/launcher=submitit_slurm", without=["hydra.launcher"], multirun=True)
        yield Fault("detach=true leaves points on a cluster, and this launcher has none.", f"{mend}   (or ray)")
    elif kind_of(launcher) == RAY:
        from boston_exp.sweep.cluster.ray import is_own

        if is_own(launcher.ray.init):
            mend = f"ray start --head; then: {again('hydra.launcher.ray.init.address=auto', multirun=True)}"
            yield Fault("detach=true needs a Ray cluster that is there: its own one would end with this command.", mend)
    if destination.backend != "mlflow":
        says = f"tracking.backend={destination.backend} remembers no sweep: nothing could collect it."
        yield Fault(says, again("tracking=local", without=["tracking"], multirun=True))


def _looked_at(config: Config, typed: Typed, aim: Aim, search: Search) -> tuple[str, str]:
    """The sweep's key, and what it trains on what; reads the table.

    What the best model would hold is checked here, too, before hours of training.
    """
    from boston_exp.experiment import dataset, models, split
    from boston_exp.storage import dvc_remote
    from boston_exp.tracking import model_types
    from boston_exp.training.fingerprint import fingerprint

    if config.data.path is not None:
        dvc_remote.fetch_if_missing(Path(config.data.path), config.storage, typed)
    table = dataset.load(config)
    rows, model = split.split_rows(table, config), ""
    with suppress(InvalidConfig):  # the first point may be a bad one
        estimator = models.build(config)
        model = f"{type(models.final_step(estimator)).__name__} "
    if model and config.tracking.log_model != "none":
        model_types.check_storable(estimator, rows, tuple(config.trusted_packages))
    if any(key.partition(".")[0] in ("model", "experiment") and "." not in key for key in search.swept):
        model = ""  # each point has its own
    about = f"{model}on {table.name}, {len(rows.X_train):,} rows to train on, {len(rows.X_test):,} held out"
    if data_is_swept(search):
        about = f"{model}on data that varies"
    return sweep_key(search.kind, fingerprint(config, table.md5), aim, search.lines), about


def planned(composer: Composer, checked: Checked, search: Search) -> SweepPlan:
    choices, swept, families = composer.master.hydra.runtime.choices, search.swept, search.families
    params = {name_of(key): text for key, text in search.written.items()}
    if families:  # a column for each parameter of each would be too many
        swept = tuple(name for name in swept if not any(name in own for own in families.parameters.values()))
    return SweepPlan(
        checked.key,
        name=sweep_name(search.kind, choices, search.fixed, swept, checked.config.name),
        params={
            **params,
            "sweep.kind": search.kind,
            "sweep.fixed": " ".join(search.fixed),
            "objective": str(checked.aim),
        },
        tags={"dataset": str(checked.config.data.name), **provenance.origin()},
        metrics=checked.aim.metrics,
        swept=swept,
    )


def data_is_swept(search: Search) -> bool:
    """The md5 in the key is then of one table only; each point itself looks for a finished run."""
    return any(key.partition(".")[0] == "data" for key in search.swept)
