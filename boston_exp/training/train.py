"""One experiment, from the table to the record."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from boston_exp.config.schema import Config
from boston_exp.config.settings import Typed
from boston_exp.errors import InvalidData, Pruned, Together
from boston_exp.experiment import checks, growing, importance, metrics, models
from boston_exp.experiment import dataset as datasets
from boston_exp.experiment.checks.context import Context
from boston_exp.experiment.checks.finding import Finding
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Doing, Evaluated, evaluate
from boston_exp.experiment.split import Split, split_rows
from boston_exp.process import temporary_folder
from boston_exp.storage import dvc_remote
from boston_exp.tracking import backends, model_types
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Finished, Recording
from boston_exp.training import chain, collector, record
from boston_exp.training.job import Job, Trained
from boston_exp.training.telling import told, write_page


@dataclass(frozen=True)
class Experiment:
    """A composed experiment: as Hydra has it, as it was typed, as plain objects, where it is recorded, its name."""

    cfg: DictConfig
    typed: Typed
    config: Config
    destination: Destination
    name: str


def train(experiment: Experiment, job: Job) -> Trained:
    """Fit, evaluate and record; or take a finished run with the same fingerprint, where the job wants that.

    Raises Refused before a run is opened, StoreUnusable if none can be, RecordingFailed if the record is not whole.
    """
    with job.telling() as doing:
        return _train(experiment, job, doing)


def _train(experiment: Experiment, job: Job, doing: Doing) -> Trained:
    config, destination = experiment.config, experiment.destination
    if config.data.path is not None:
        dvc_remote.fetch_if_missing(Path(config.data.path), config.storage, experiment.typed)
    with Together(InvalidData) as attempt:
        dataset = attempt(datasets.load, config)
        estimator = attempt(partial(models.build, roles=dataset.roles if dataset else None), config)
    models.check_suits(estimator, dataset)
    rows = split_rows(dataset, config)
    store_model = job.stores_model(config.tracking.log_model)
    if store_model and destination.backend != "none":
        model_types.check_storable(estimator, rows, tuple(config.trusted_packages))
    plan = record.plan(experiment.name, experiment.typed, config, dataset, rows, estimator, job.tags)
    tracker = backends.open_tracker(destination)
    if job.skips_finished(config.skip_finished):
        done = tracker.find_finished(plan.tags["fingerprint"], store_model, metrics.names(config.evaluation))
        if done:
            show = partial(_show_reused, experiment.name, done, config)
            return Trained(done.metrics, done.run_id, show, reused=True)
    with tracker.start(plan) as recording:
        job.began(recording.run_id)
        collector.start()
        resamples = config.evaluation.n_resamples
        growth = chain.growth(estimator, config, dataset.md5, job.followed)
        rungs = job.rungs(growing.size_of(estimator) if growing.count_of(estimator) else None)
        try:
            evaluated = evaluate(estimator, rows, config.seed, resamples, job.reached, doing, growth, rungs)
        except Pruned:
            with temporary_folder() as folder:
                record.write_circumstances(Path(folder), experiment.cfg, experiment.typed)
                recording.log_files(Path(folder))
            raise
        doing("checks")
        roles = {name: role.name for name, role in dataset.roles.items()}
        found = checks.run(Context(dataset, rows, evaluated, estimator, config, roles, swept=bool(job.swept)))
        doing("recording")
        said = told(
            experiment.name,
            experiment.typed,
            config,
            destination,
            plan.params,
            dataset,
            rows,
            evaluated,
            recording.run_id,
            with_page=job.reports(config.report),
        )
        with record.outcome(
            experiment.cfg, experiment.typed, config, dataset, rows, evaluated, said, store_model, found
        ) as outcome:
            recording.log(outcome)
    if said.page is not None:
        write_page(str(config.report), said.page)
    return Trained(
        evaluated.metrics,
        recording.run_id,
        partial(_show, experiment.name, dataset, rows, evaluated, found, recording, config.quiet),
    )


def _show(
    name: str,
    dataset: Dataset,
    rows: Split,
    evaluated: Evaluated,
    found: list[Finding],
    recording: Recording,
    quiet: bool,
) -> None:
    from boston_exp.reporting import terminal

    if quiet:
        terminal.show_id(recording.run_id)
        return
    columns = int(getattr(models.final_step(evaluated.estimator), "n_features_in_", dataset.X.shape[1]))
    bounds = importance.bounds(evaluated.estimator, evaluated.importance, rows)
    terminal.show_run(name, dataset, rows, evaluated.metrics, columns, bounds)
    terminal.show_findings(found)
    terminal.show_record(recording.where, recording.run_id, recording.next_command)


def _show_reused(name: str, done: Finished, config: Config) -> None:
    from boston_exp.reporting import terminal

    if config.report:
        print("report      none: nothing was trained, and skip_finished=false trains again", file=sys.stderr)
    if config.quiet:
        terminal.show_id(done.run_id)
        return
    terminal.show_reused(name, done.metrics)
    terminal.show_record("", done.run_id, None)
