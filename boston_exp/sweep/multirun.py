"""The story of a multirun: check, open the parent run, search, record what came of it, show it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module

from hydra.types import HydraContext
from omegaconf import DictConfig

from boston_exp.sweep import edges, families, left, outcome, telling
from boston_exp.sweep.checked import Checked, checked, data_is_swept, planned
from boston_exp.sweep.composing import Composer
from boston_exp.sweep.ending import Ending, Gain
from boston_exp.sweep.launched import LeftError
from boston_exp.sweep.loop import Loop, MaxFailuresError
from boston_exp.sweep.plan import Point, Report
from boston_exp.sweep.screen import Screen
from boston_exp.sweep.search import Search
from boston_exp.sweep.workers import Workers
from boston_exp.tracking import backends
from boston_exp.tracking.protocol import Finished, Outcome
from boston_exp.training import collector
from boston_exp.training.job import mark
from boston_exp.training.telling import Told, write_page

LONG = 1000  # points, which are worth the half second that it takes to look through all imports for garbage


def run(context: HydraContext, master: DictConfig, search: Search, make_workers: Callable[[str], Workers]) -> int:
    """Run a sweep to its end, or to `max_failures`; with `detach` only collect and submit. Returns the exit code: 1 if
    a point failed. `make_workers` is given the name by which a cluster knows the sweep.

    Raises InvalidConfig for what is wrong with every point, StoreUnusable if the store cannot be used or the same sweep
    is running already.
    """
    composer = Composer(context, master)
    all_points = checked(composer, search)
    config, destination = all_points.config, all_points.destination
    tracker = backends.open_tracker(destination)
    plan = planned(composer, all_points, search)
    search.open(all_points.key, config, all_points.aim)
    failed, there = False, None  # points that stay on a cluster
    with (
        suppress(MaxFailuresError, LeftError),
        tracker.sweep(plan) as parent,
        left.taken_up(parent, composer, bool(master.detach)) as points,
        closing(make_workers(left.name_for(parent.run_id, composer.sweep_dir))) as workers,
        Screen(search.total, all_points.aim, config.quiet, workers.count, search.then) as screen,
    ):
        mark(composer.sweep_dir, parent.run_id, destination.uri)
        reuses = config.skip_finished is not False and not data_is_swept(search)
        if not workers.in_process and config.tracking.log_model != "none":
            _import_ahead(config.tracking.backend)
        loop = Loop(
            all_points.key,
            search,
            composer,
            workers,
            parent,
            screen,
            earlier=parent.finished_points() if reuses else {},
            ending=Ending(
                all_points.aim,
                config.search.patience,
                config.timeout,
                Gain.of(config, search.left),
                search.first,
                search.then,
            ),
            max_failures=config.max_failures,
            asks_server=destination.server is not None and tracker.outage is None,
            experiment=destination.experiment_name,
        )
        try:
            for result in search.begin(workers.count, [*points.values()]):
                loop.remember(result)
            loop.take_up(points)
            screen.ends_by(loop.deadline)
            for line in search.news():
                screen.say(line)
            collector.start(search.total is None or search.total >= LONG)  # a trial of Optuna's leaves 80 kB of cycles
            ended_by = loop.run()
            screen.close()
            local = replace(destination, server=None)  # the points are here before they are anywhere else
            history = partial(backends.open_history, local)
            report = _report(search, all_points, loop, plan.name, ended_by)
            report = replace(report, found=tuple(edges.found(report, config.evaluation.n_splits, history)))
            report = replace(report, compared=families.compared(report, lambda of: telling.contenders(of, history)))
            table = outcome.results(report)
            page = outcome.record(report, table, parent, config, plan.params, history)
            if report.best and report.best.run_id and config.tracking.log_model != "none":
                best = Finished(report.best.run_id, dict(report.best.metrics))
                parent.store_model(best, partial(_refit, composer, report.best.point))
        except LeftError as error:
            there, report = error, _report(search, all_points, loop, plan.name, "")
            raise
        except KeyboardInterrupt:
            screen.interrupted()
            raise
        failed = loop.failed > 0
        if loop.hopeless:
            raise loop.hopeless  # which leaves the parent FAILED
    if there is not None:
        left.show(report, there, parent, config.quiet)
        return 0
    if page is not None:
        write_page(str(config.report), page)
    outcome.show(report, table, parent, config.quiet)
    return int(failed)


def _report(search: Search, all_points: Checked, loop: Loop, name: str, ended_by: str) -> Report:
    return Report(
        search.kind,
        search.total,
        search.swept,
        all_points.aim,
        tuple(loop.results),
        search.importances(),
        name,
        all_points.config.data.target_unit or "",
        search.logarithmic,
        all_points.about,
        all_points.destination.experiment_typed,
        ended_by=ended_by,
        families=search.families,
        ranges=search.written,
    )


def _import_ahead(backend: str) -> None:
    """While the workers train, import in a thread what storing the best model on the parent takes."""
    for module in backends.import_ahead(backend):
        threading.Thread(target=import_module, args=(module,), name="import-ahead", daemon=True).start()


@contextmanager
def _refit(composer: Composer, best: Point) -> Iterator[Outcome]:
    """Fit the best point once more, without folds, which gives the same bits.

    That costs one fit; storing the model of every point would cost 0.15 s and a megabyte each.
    """
    from boston_exp.experiment import dataset, models, split
    from boston_exp.experiment.evaluation import evaluate
    from boston_exp.training import record

    cfg, config, typed = composer.parsed(best)
    table = dataset.load(config)
    estimator = models.build(config, table.roles)
    rows = split.split_rows(table, replace(config, evaluation=replace(config.evaluation, n_splits=0)))
    config = replace(config, figures=replace(config.figures, draw=False))
    collector.start()
    evaluated = evaluate(estimator, rows, config.seed, 0)
    with record.outcome(
        cfg, typed, config, table, rows, evaluated, Told(composer.name_of(best)), store_model=True
    ) as fitted:
        yield fitted
