"""A point that is composed by changing another's values is what Hydra itself would have composed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from boston_exp.config.schema import CONF
from boston_exp.sweep.composing import with_quick_loader


@pytest.fixture
def context() -> Iterator[tuple[HydraContext, DictConfig]]:
    """Hydra's own context, and the master configuration of a multirun."""
    setup_globals()
    with initialize_config_dir(str(CONF)):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.compose_config("config", ["hydra.sweep.dir=x"], run_mode=RunMode.MULTIRUN)
        yield HydraContext(config_loader=hydra.config_loader, callbacks=None), master


def test_every_kind_of_point_is_what_hydra_composes(context: tuple[HydraContext, DictConfig]) -> None:
    hydra, master = context
    quick = with_quick_loader(hydra).config_loader
    for overrides in (
        ["model.max_depth=5", "seed=1"], ["model.max_depth=null", "seed=2"], ["model=ridge", "model.alpha=0.1"],
        ["model=ridge", "model.alpha=2"], ["model.max_depth=7", "seed=1"], ["+model.ccp_alpha=0.1"],
        ["+model.ccp_alpha=0.2"],
        ["model=ridge", "+model.max_iter=5"], ["model=ridge", "+model.max_iter=null"],
        ["data.drop=[B]"], ["data.drop=[B,CHAS]"], ["model=svr"], ["data.name=a b"], ["data.name='x, y'"],
    ):  # fmt: skip
        expected = hydra.config_loader.load_sweep_config(master, overrides)
        made = quick.load_sweep_config(master, overrides)
        assert OmegaConf.to_container(made, resolve=False) == OmegaConf.to_container(expected, resolve=False)


def test_a_value_that_does_not_fit_is_refused_by_hydra_and_spoils_no_other(
    context: tuple[HydraContext, DictConfig],
) -> None:
    hydra, master = context
    quick = with_quick_loader(hydra).config_loader
    quick.load_sweep_config(master, ["seed=1"])
    with pytest.raises((OmegaConfBaseException, HydraException), match="abc"):
        quick.load_sweep_config(master, ["seed=abc"])
    assert quick.load_sweep_config(master, ["seed=3"]).seed == 3
