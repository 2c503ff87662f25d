"""A message gives the next command whole: what was typed, with the change in it, quoted for Hydra and for a shell."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation, again, quoted, quoted_list
from boston_exp.config.settings import Typed

PARSER = OverridesParser.create()


def begin(command: str, *arguments: str) -> None:
    invocation.begin(Invocation.of(command, arguments))


def test_reading_runs_takes_no_notice_of_how_they_were_stored() -> None:
    typed = ("tracking.uri=sqlite:///x.db", "tracking.local_uri=sqlite:///y.db", "tracking.log_model=all")
    invocation.begin(Invocation("run", (), typed))
    assert invocation.for_services("leaderboard") == "python -m boston_exp.leaderboard tracking.uri=sqlite:///x.db"
    assert "local_uri" in invocation.for_services("run")


def test_what_was_typed_is_kept_and_the_change_replaces_its_key() -> None:
    begin("run", "model=ridge", "+model.solver=svd", "data.test_size=7")
    assert again("data.test_size=0.2") == "python -m boston_exp.run model=ridge +model.solver=svd data.test_size=0.2"
    assert again(without=["model.solver"]) == "python -m boston_exp.run model=ridge data.test_size=7"
    assert again("~model.alpha").endswith("data.test_size=7 '~model.alpha'")


def test_the_command_that_printed_it_is_named() -> None:
    begin("doctor", "env=compose")
    assert again("fix=true") == "python -m boston_exp.doctor env=compose fix=true"


def test_flags_that_change_what_is_composed_are_kept_and_others_are_not() -> None:
    begin("run", "-m", "--config-dir", "../team conf", "--cfg", "job", "env=ours", "seed=1,2")
    assert again() == "python -m boston_exp.run -m --config-dir '../team conf' env=ours seed=1,2"
    assert again(multirun=False) == "python -m boston_exp.run --config-dir '../team conf' env=ours seed=1,2"
    begin("run", "--config-dir=../team_conf", "seed=1,2")
    assert again("seed=3", multirun=True) == "python -m boston_exp.run --config-dir=../team_conf -m seed=3"


def value_of(text: str) -> object:
    (override,) = PARSER.parse_overrides([text])
    return override.value()


@pytest.mark.parametrize(
    "text", ["MEDV", "Größe", "a b", "null", "12", "1e5", 'say "yes"', "it's", "a,b", "x\\", "<3", ""]
)
def test_a_text_comes_through_hydras_grammar_as_it_is(text: str) -> None:
    assert value_of(f"data.target={quoted(text)}") == text


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="$"), max_size=12))
def test_any_text_comes_through_hydras_grammar_and_a_shell(text: str) -> None:
    (argument,) = shlex.split(shlex.quote(f"data.target={quoted(text)}"))
    assert value_of(argument) == text


@given(st.text(st.sampled_from("a$\\{}:\"' ."), max_size=8))
def test_nothing_in_a_text_is_an_interpolation(text: str) -> None:
    """A column may be called ${oc.env:HOME}; the value of the variable is not its name."""
    read = OmegaConf.create({"value": value_of(f"data.target={quoted(text)}")})
    assert OmegaConf.to_container(read, resolve=True) == {"value": text}


def test_a_list_comes_through_too() -> None:
    assert value_of(f"data.drop={quoted_list(['Größe', 'b', 'c d'])}") == ["Größe", "b", "c d"]


@pytest.mark.parametrize("run_id", ["898e12", "1e999", "0123", "12345678", "true", "a1b2"])
def test_an_id_is_taken_from_the_raw_text(run_id: str) -> None:
    """As a value of Hydra's grammar, 898e12 is a float, and 1e999 is infinity."""
    assert Typed((f"run_id={run_id}",)).text("run_id") == run_id
    assert Typed((f"run_id='{run_id}'",)).text("run_id") == run_id
    assert Typed((f"runs=[{run_id}, best]",)).texts("runs") == [run_id, "best"]
    assert Typed((f"+runs={run_id}",)).texts("runs") == [run_id]
    assert Typed(("alias=x",)).text("run_id") is None
    assert Typed(("alias=x",)).texts("runs") == []
