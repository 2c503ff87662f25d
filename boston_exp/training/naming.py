"""The name of a run: what distinguishes it, in the first twenty characters, where MLflow's lists cut names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from boston_exp.config.invocation import key_of

LONGEST = 100  # characters
HEADS = ("experiment", "model")  # groups whose choice names a run by itself
TOLD = ("preprocess", "seed")  # besides model.* and preprocess.*; how a run is recorded or judged is told elsewhere
TOLD_OF_DATA = ("data.drop", "data.test_size", "data.split_seed")


def run_name(
    choices: Mapping[str, str], overrides: Sequence[str], swept: Collection[str] = (), given: str | None = None
) -> str:
    """`random_forest max_depth=15`: the preset or the model, then what was changed; in a sweep what is swept is first.

    `given` is the name that was typed, which in a sweep begins the names of its points. `choices` are those of the
    groups of conf/, `swept` the keys of the settings that the sweep varies.
    """
    values = {key_of(each): each for each in overrides}
    varied = [_told(values[key], choices) for key in values if key in swept and key != "name"]
    if given is not None:
        return _cut([given, *varied])
    changed = [_told(each, choices) for key, each in values.items() if key not in swept and _is_told(key)]
    return _cut([*varied, *_heads(choices, values, swept), *changed])


def class_name(model: Mapping[str, Any]) -> str:
    """Names a run whose model is none of conf/: `Ridge` for `_target_: sklearn.linear_model.Ridge`."""
    return str(model["_target_"]).rpartition(".")[2]


def sweep_name(
    kind: str, choices: Mapping[str, str], fixed: Sequence[str], swept: Sequence[str], given: str | None
) -> str:
    """`random_forest: grid over max_depth, n_estimators`."""
    head = run_name(choices, fixed, swept, given)
    return _cut([*([f"{head}:"] if head else []), kind, "over", ", ".join(map(short, swept)) or "nothing"])


def assigned(pairs: Sequence[tuple[str, str]]) -> str:
    """`max_depth=15 alpha=0.01235` for settings and their values as text."""
    return " ".join(f"{short(key)}={rounded(value)}" for key, value in pairs)


def short(key: str) -> str:
    """A setting as lists name it: `max_depth` for model.max_depth."""
    return key.removeprefix("model.").removeprefix("data.") if "." in key else key


def rounded(text: str) -> str:
    """A number with a fraction or an exponent to four significant digits; everything else as it is."""
    if any(sign in text for sign in ".e") and not text.startswith("["):
        with suppress(ValueError):
            number = float(f"{float(text):.4g}")
            return f"{number:.0f}" if 1e3 <= abs(number) < 1e8 else f"{number:.4g}"
    return text


def _heads(choices: Mapping[str, str], overrides: Collection[str], swept: Collection[str]) -> list[str]:
    """The preset, which says which model, and the model where there is none, or another one was typed."""
    heads = [str(choices[group]) for group in HEADS if choices.get(group) and group not in swept]
    return heads if "model" in overrides else heads[:1]


def _told(override: str, choices: Mapping[str, str]) -> str:
    key, _, value = override.lstrip("+").partition("=")
    if override.startswith("~"):
        return f"~{short(key_of(override))}"
    return value if key in choices else f"{short(key)}={rounded(value)}"


def _is_told(key: str) -> bool:
    return key in TOLD or key in TOLD_OF_DATA or (key.partition(".")[0] in ("model", "preprocess") and "." in key)


def _cut(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
