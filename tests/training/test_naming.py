"""Names of runs: what distinguishes them comes first, and siblings never have the same one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from boston_exp.training.naming import LONGEST, assigned, class_name, run_name, sweep_name

FOREST = {"model": "random_forest", "data": "boston", "preprocess": "none", "experiment": None, "evaluation": "holdout"}


@pytest.mark.parametrize(
    ("choices", "overrides", "swept", "name"),
    [
        ({}, [], (), "random_forest"),
        ({}, ["model.max_depth=15", "evaluation=cv", "tracking=server"], (), "random_forest max_depth=15"),
        ({}, ["seed=7", "data.drop=[B]"], (), "random_forest seed=7 drop=[B]"),
        ({"model": "ridge"}, ["model=ridge", "preprocess=standard", "model.alpha=0.0123456"], (),
         "ridge standard alpha=0.01235"),
        ({"experiment": "deep_forest"}, ["experiment=deep_forest", "+model.ccp_alpha=0.1"], (),
         "deep_forest ccp_alpha=0.1"),
        ({"experiment": "quick_test", "model": "svr"}, ["experiment=quick_test", "model=svr"], (), "quick_test svr"),
        ({"model": "svr"}, ["model=svr", "~model.gamma"], (), "svr ~gamma"),
        # points of a sweep: what is swept is first
        ({}, ["model.max_depth=5", "model.n_estimators=50"], ("model.max_depth",),
         "max_depth=5 random_forest n_estimators=50"),
        ({"experiment": "quick_test", "model": "svr"}, ["model=svr", "experiment=quick_test"], ("model",),
         "svr quick_test"),
        ({"model": "svr"}, ["model=svr"], ("model",), "svr"),
        ({}, ["seed=3"], ("seed",), "seed=3 random_forest"),
        ({}, ["evaluation.n_splits=3"], ("evaluation.n_splits",), "evaluation.n_splits=3 random_forest"),
    ],
)  # fmt: skip
def test_a_name_says_what_and_what_was_changed(
    choices: Mapping[str, str], overrides: list[str], swept: tuple[str, ...], name: str
) -> None:
    assert run_name(FOREST | choices, overrides, swept) == name


def test_a_name_that_was_typed_is_the_name_and_in_a_sweep_a_prefix() -> None:
    assert run_name(FOREST, ["name=deep", "model.max_depth=5"], (), "deep") == "deep"
    assert run_name(FOREST, ["model.max_depth=5", "name=deep"], ("model.max_depth",), "deep") == "deep max_depth=5"
    assert sweep_name("grid", FOREST, ["name=deep"], ["model.max_depth"], "deep") == "deep: grid over max_depth"


def test_a_sweeps_name_says_what_is_searched_over() -> None:
    swept = ["model.max_depth", "data.split_seed"]
    assert sweep_name("grid", FOREST, [], swept, None) == "random_forest: grid over max_depth, split_seed"
    assert sweep_name("grid", FOREST, [], ["model"], None) == "grid over model"


def test_long_names_are_cut_numbers_rounded_and_whole_numbers_kept() -> None:
    long = run_name(FOREST, [f"model.a_parameter_with_a_long_name_{number}=1" for number in range(9)])
    assert len(long) == LONGEST
    assert long.endswith("…")
    pairs = [
        ("model.alpha", "1e-5"),
        ("seed", "123456789"),
        ("model.l", "0.10000000000000001"),
        ("data.drop", "[B]"),
        ("model.C", "12345.6"),
    ]
    assert assigned(pairs) == "alpha=1e-05 seed=123456789 l=0.1 drop=[B] C=12350"
    assert class_name({"_target_": "sklearn.linear_model.Ridge"}) == "Ridge"
