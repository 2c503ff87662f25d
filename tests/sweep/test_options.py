"""Options with spaces of their own: what hydra.sweeper.spaces says, what is refused, what Optuna is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation
from boston_exp.config.schema import Config
from boston_exp.errors import InvalidConfig
from boston_exp.sweep.conditional import Conditional
from boston_exp.sweep.options import Groups, options
from boston_exp.sweep.optuna_search import OptunaSearch
from boston_exp.sweep.optuna_settings import Settings
from boston_exp.sweep.plan import Aim, Result, Space
from tests.sweep.automl_proof import multirun

AIM = Aim(("cv_rmse",), ("minimize",))
TWO = {
    "model": {
        "ridge": {"model.alpha": "tag(log,interval(0.001,1000.0))", "preprocess": "standard"},
        "knn": {"model": {"n_neighbors": "int(interval(1,40))", "weights": "uniform,distance", "p": "1,2"}},
    }
}


def swept(*overrides: str) -> Space:
    return {each.get_key_element(): each for each in OverridesParser.create().parse_overrides(list(overrides))}


def read(spaces: dict[str, Any], *fixed: str, space: Space | None = None) -> tuple[Groups, Space, list[str]]:
    with multirun() as (context, master):
        loader = context.config_loader
        return options(spaces, space or {}, list(fixed), loader, lambda more: loader.load_sweep_config(master, more))


def test_each_option_has_its_own_parameters_whose_defaults_are_its_configurations() -> None:
    """`model.p` is in no YAML: it is added with a +, and its default is the class's."""
    groups, _, _ = read(TWO)
    space = Conditional({}, groups)
    assert space.written == {
        "model": "ridge,knn", "ridge.alpha": "tag(log,interval(0.001,1000.0))",
        "knn.n_neighbors": "int(interval(1,40))", "knn.weights": "uniform,distance", "knn.p": "1,2",
    }  # fmt: skip
    assert space.defaults() == [
        {"model": "ridge", "ridge.alpha": 1.0},
        {"model": "knn", "knn.n_neighbors": 5, "knn.weights": "uniform", "knn.p": 2},
    ]
    assert space.overrides(space.defaults()[0]) == ["model=ridge", "preprocess=standard", "model.alpha=1.0"]
    assert space.overrides(space.defaults()[1]) == [
        "model=knn", "model.n_neighbors=5", "model.weights=uniform", "+model.p=2",
    ]  # fmt: skip
    assert space.swept == ("model", "model.alpha", "model.n_neighbors", "model.weights", "model.p")
    assert space.logarithmic == ("ridge.alpha",)
    low, high = space.corners()
    assert (low["model"], low["ridge.alpha"], high["model"], high["knn.p"]) == ("ridge", 0.001, "knn", 2)


def test_a_trial_has_the_parameters_of_its_option_alone() -> None:
    groups, _, _ = read(TWO)
    space = Conditional(swept("seed=1,2"), groups)
    for name, own in (("ridge", {"ridge.alpha"}), ("knn", {"knn.n_neighbors", "knn.weights", "knn.p"})):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.enqueue_trial({"model": name})
        found = space.suggest(study.ask())
        assert found.keys() == {"model", "seed", *own}
        assert space.holds(found)
        assert not space.holds({key: value for key, value in found.items() if key not in own})


def test_what_is_typed_for_all_wins_and_a_typed_group_says_which_options() -> None:
    """An option that is typed and has no space is tried with its defaults."""
    groups, space, fixed = read(TWO, "preprocess=tabular", space=swept("model=ridge,svr", "seed=1,2"))
    assert list(groups["model"]) == ["ridge", "svr"]
    assert groups["model"]["ridge"].fixed == {}
    assert groups["model"]["svr"].ranges == {}
    assert list(space) == ["seed"]
    assert fixed == ["preprocess=tabular"]
    groups, _, fixed = read(TWO, "model=knn")
    assert (list(groups["model"]), fixed) == (["knn"], [])


def test_a_range_that_is_added_later_takes_the_place_of_the_presets() -> None:
    spaces = {"model": {"ridge": {"model.alpha": "interval(0.1,2.0)", "model": {"alpha": "1,2,3"}}}}
    groups, _, _ = read(spaces)
    assert {key: each.text for key, each in groups["model"]["ridge"].ranges.items()} == {"model.alpha": "1,2,3"}


@pytest.mark.parametrize(
    ("spaces", "says", "mend"),
    [
        ({"modle": {"ridge": {}}}, "modle is no group of options with their spaces. Did you mean 'model'?",
         "'~hydra.sweeper.spaces.modle'"),
        ({"model": {"rigde": {}}}, "rigde is no option of model. Did you mean 'ridge'?",
         "'~hydra.sweeper.spaces.model.rigde'"),
        ({"model": {"ridge": {"model.alpha": "interval(0.1)"}}}, "model.alpha: interval(0.1) is no range:",
         """'++hydra.sweeper.spaces.model.ridge.model.alpha="interval(1,10)"'"""),
        ({"model": {"ridge": {"model.alhpa": "interval(1,2)"}}},
         "model.alhpa is no setting that has a default. Did you mean 'alpha'?",
         "'~hydra.sweeper.spaces.model.ridge.model.alhpa'"),
        ({"model": {"ridge": {"model.alpha": "tag(log,interval(2.0,100.0))"}}},
         "model.alpha: tag(log,interval(2.0,100.0)) leaves out 1.0, the default, which is tried first.",
         """'++hydra.sweeper.spaces.model.ridge.model.alpha="tag(log,interval(1.0,100.0))"'"""),
        ({"model": {"random_forest": {"model.max_depth": "5,null"}}}, "leaves out 10, the default",
         """'++hydra.sweeper.spaces.model.random_forest.model.max_depth="5,null,10"'"""),
        ({"model": {"ridge": {"model.depth": "3"}}}, "model=ridge does not compose with what is set for it:",
         "'~hydra.sweeper.spaces.model.ridge'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_space_is_told_with_the_place_and_the_next_command(
    spaces: dict[str, Any], says: str, mend: str
) -> None:
    invocation.begin(Invocation.of("run", ["-m", "search=automl"]))
    with pytest.raises(InvalidConfig) as refused:
        read(spaces)
    (fault,) = refused.value.faults
    assert says in fault.says
    assert fault.says.startswith("hydra.sweeper.spaces")
    assert fault.mend.startswith("python -m boston_exp.run -m search=automl ")
    assert mend.strip("'") in fault.mend.replace("'", "")


def test_an_option_that_was_typed_wrongly_is_mended_where_it_was_typed() -> None:
    """`~hydra.sweeper.spaces.model.nope`, which was told, deletes what is not there."""
    invocation.begin(Invocation.of("run", ["-m", "search=automl", "model=ridge,nope"]))
    with pytest.raises(InvalidConfig) as refused:
        read(TWO, space=swept("model=ridge,nope"))
    (fault,) = refused.value.faults
    assert "nope is no option of model" in fault.says
    assert fault.mend == "python -m boston_exp.run -m search=automl model=ridge"


def test_a_range_for_all_that_only_some_have_is_told_as_a_space_of_those() -> None:
    """Hydra said that knn has no alpha, and advised to add one to it."""
    invocation.begin(Invocation.of("run", ["-m", "search=automl", "model.alpha=interval(0.1,2)"]))
    with pytest.raises(InvalidConfig) as refused:
        read(TWO, space=swept("model.alpha=interval(0.1,2)"))
    (fault,) = refused.value.faults
    assert fault.says.startswith("model.alpha=interval(0.1,2) goes for every option of model, and knn has no alpha")
    assert "'++hydra.sweeper.spaces.model.ridge.model.alpha=\"interval(0.1,2)\"'" in fault.mend
    assert " model.alpha=" not in fault.mend


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidConfig) as refused:
        read({"model": {"rigde": {}, "ridge": {"model.alhpa": "1,2"}}, "modle": {"a": {}}})
    assert len(refused.value.faults) == 3


def test_a_widened_range_is_taken() -> None:
    """What a message proposes works: of numbers, steps, and words."""
    for text in ("tag(log,interval(20.0,30.0))", "range(7,100,10)", "7,9"):
        with pytest.raises(InvalidConfig) as refused:
            read({"model": {"knn": {"model.n_neighbors": text}}})
        proposed = refused.value.faults[0].mend.split("n_neighbors=")[1].strip("'\"")
        groups, _, _ = read({"model": {"knn": {"model.n_neighbors": proposed}}})
        assert groups["model"]["knn"].ranges["model.n_neighbors"].default == 5


def search(storage: str | None, sampler: str = "tpe") -> OptunaSearch:
    with multirun(f"hydra/sweeper/sampler={sampler}", "hydra/sweeper=optuna") as (_, master):
        chosen = OmegaConf.create(OmegaConf.to_container(master.hydra.sweeper.sampler, resolve=True))
    chosen.seed = 1
    groups, space, fixed = read(TWO)
    return OptunaSearch(Settings(chosen, 24, 1, storage, "a study", None, None), space, fixed, groups)


def begun(found: OptunaSearch) -> OptunaSearch:
    config = Config()
    config.model = {"_target_": "x.Y"}
    found.open("key", config, AIM)
    list(found.begin(1))
    return found


def run(found: OptunaSearch, number: int) -> list[dict[str, str]]:
    points = []
    while len(points) < number and (point := found.ask(None)) is not None:
        pairs = dict(point.swept)
        score = abs(float(pairs.get("model.alpha", 50)) - 7.0) + (pairs["model"] == "knn") * float(len(points) % 3)
        found.tell(Result(point, "", "finished", None, {"cv_rmse": score}))
        points.append(pairs)
    return points


def test_every_options_defaults_are_tried_first_and_once_whatever_was_interrupted(tmp_path: Path) -> None:
    """Also where the first part ended in the middle of a default, before it had any parameter."""
    storage = f"sqlite:///{tmp_path}/o.db"
    first = begun(search(storage))
    one = first.ask(None)
    assert one is not None
    first.give_back(one)
    empty = first._study.ask(first._sampler(0), 0)  # asked for, and killed before anything was suggested
    first._study.give_back(empty.number, {})
    points = run(begun(search(storage)), 5)
    assert sorted(each["model"] for each in points[:2]) == ["knn", "ridge"]
    assert {each.get("model.alpha") for each in points[:2]} == {"1.0", None}
    again = begun(search(storage))
    assert [trial.state.name for trial in again._study.study.get_trials()].count("WAITING") == 0
    assert {"model": "ridge", "model.alpha": "1.0"} not in run(again, 5)


def test_tpe_sees_the_parameters_of_each_option_together_and_other_samplers_do_not_mind() -> None:
    """TPESampler's `group`: without it, a parameter that not every trial has is sampled alone, or at random."""
    found = begun(search(None))
    assert found._sampling.group
    run(found, 20)
    relative = found._study.ask(found._sampler(20), 20).relative_params
    assert relative is not None
    assert relative.keys() == {"model", "ridge.alpha", "knn.n_neighbors", "knn.weights", "knn.p"}
    assert len(run(begun(search(None, "random")), 24)) == 24


def test_the_study_is_known_by_its_spaces_and_by_what_its_options_compose_to() -> None:
    lines = set(search(None).lines)
    groups, _, _ = read(TWO, "seed=3")
    assert set(Conditional({}, groups).lines) == lines  # Ridge and knn have no seed, and the first point's has it
    wider = {"model": {**TWO["model"], "ridge": {"model.alpha": "interval(0.5,2.0)", "preprocess": "standard"}}}
    assert set(Conditional({}, read(wider)[0]).lines) != lines
    assert set(Conditional({}, read({"model": dict(reversed(TWO["model"].items()))})[0]).lines) != lines
