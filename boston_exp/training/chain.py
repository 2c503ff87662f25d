"""What a worker keeps of the point that it has trained, for the next one to grow from: one chain at a time."""

from __future__ import annotations

from dataclasses import replace

from sklearn.base import BaseEstimator

from boston_exp.config.schema import Config
from boston_exp.experiment.growing import Growth, count_of, size_of
from boston_exp.process import on_reset
from boston_exp.training.fingerprint import fingerprint

_kept: dict[str, Growth] = {}  # by what all points of the chain have in common
on_reset(_kept.clear)


def growth(estimator: BaseEstimator, config: Config, data_md5: str, followed: bool) -> Growth:
    """What this point grows from: fitted models that differ from its own in the number of trees alone, and are smaller.

    `followed` says that a larger point of the chain comes next: what is fitted for this one is then left in it.
    """
    count = count_of(estimator)
    key = fingerprint(replace(config, model=config.model | {count: None}), data_md5) if count else ""
    before = _kept.get(key)
    _kept.clear()
    if before is None or before.size is None or before.size >= size_of(estimator):
        before = Growth()
    before.keeps = followed and count is not None
    if before.keeps:
        _kept[key] = before
    return before
