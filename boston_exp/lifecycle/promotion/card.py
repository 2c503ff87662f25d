"""The card of a model: what it is for, what it was made of, how good it is and for whom, how to use and remake it.

After Mitchell et al., "Model Cards for Model Reporting" (2019), with skops.card. It says nothing of versions and
aliases, which change while the model does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from skops.card import Card

from boston_exp.experiment.metrics import METRICS
from boston_exp.lifecycle.promise import Promise
from boston_exp.lifecycle.promotion.about import About
from boston_exp.reporting import html, numbers
from boston_exp.reporting.markdown import escaped
from boston_exp.tracking.recorded import RecordedRun

LONGEST = 600  # characters of a parameter's value
SHOWN = 6  # values of a column of text
EXAMPLE = 100  # rows of a new table, for what it may have


def markdown(about: About) -> str:
    """The card."""
    card = Card(None, template=None, model_diagram=False)
    title = escaped(about.name).replace("/", "-")
    card.add(**{title: _introduction(about)})
    for heading, text in _sections(about):
        card.add(**{f"{title}/{heading}": text})
    return str(card.render()).strip() + "\n"


def page(text: str, title: str) -> str:
    """The same as an HTML file."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text.partition("\n")[2])
    return html.rendered("boston_exp.lifecycle.promotion", "card.html.j2", title=title, body=Markup(body))  # noqa: S704


def _introduction(about: About) -> str:
    run = about.run
    params, tags = run.params, run.tags
    said = (
        f"{tags.get('model_type', 'A model')} that predicts {params.get('data.target', 'the target')} from "
        f"{params.get('data.n_features', '?')} features of {tags.get('dataset', 'a table')}. Run `{run.run_id}` "
        f"({escaped(run.name)}), commit `{tags.get('mlflow.source.git.commit', 'none')[:12]}`"
    )
    if tags.get("git.dirty") == "true":
        said += " with uncommitted changes"
    if about.refit:
        said += (
            ".\n\nThe model was fitted once more on all rows, held-out ones included. Scores, intervals and errors "
            "below are those of the same configuration fitted on the training rows alone"
        )
    for lack in about.lacks:
        said += f".\n\n**What is missing:** {lack.rstrip('.')}"
    return said + "."


def _sections(about: About) -> Iterator[tuple[str, str]]:
    run = about.run
    params, unit = run.params, run.param("data.target_unit")
    yield (
        "Intended use",
        f"To predict {params.get('data.target', 'the target')}{f' in {unit}' if unit else ''} for rows of the kind it "
        f"was {'chosen' if about.refit else 'trained'} on: {params.get('data.n_train', '?')} rows of "
        f"{escaped(run.tags.get('dataset', 'a table'))}. Rows outside of what "
        "the training rows had are predicted and flagged; no score here speaks for them. Decisions about people that "
        "rest on it need a judgement of their own.",
    )
    caveats = [f"- {escaped(each)}" for each in about.caveats] or ["None were recorded (`data.caveats`)."]
    trained = datetime.fromtimestamp(run.start_time / 1000, UTC).strftime("%Y-%m-%d")
    rows = ", ".join(
        f"{label} {params[name]}" for name, label in (("data.n_train", "training"), ("data.n_test", "held out"))
        if name in params
    )  # fmt: skip
    yield (
        "Data",
        f"{escaped(run.tags.get('dataset', ''))}, md5 `{run.tags.get('data.md5', '?')}`; rows: {rows}. "
        f"Trained on {trained}.",
    )
    if about.profile:
        yield "Data/Columns", "\n".join(_columns(about.profile))
    yield "Data/Caveats", "\n".join(caveats)
    yield "How good it is", "\n".join(_scores(run, unit, about.consulted))
    if about.slices is not None and len(about.slices):
        yield "Errors by groups", "\n".join(_groups(about.slices, unit))
    yield "Prediction intervals", _coverage(about.promise)
    yield "What new rows may show", _allowed(about.promise, unit)
    yield "Compared with", escaped(about.verdict)
    yield "Training configuration", "\n".join(_configuration(params))
    needed = ", ".join(about.requirements)
    where = ", ".join(f"{name} {value}" for name, value in about.machine.items())
    yield "Environment", f"{escaped(needed or 'not recorded')}.\n\nTrained on: {escaped(where or 'not recorded')}."
    uri = f"models:/{about.name}@{about.alias}"
    yield (
        "How to use it",
        f"```\npython -m boston_exp.predict from_model={uri} input=new.csv output=predictions.csv\n"
        f"dvc artifacts get . {about.name} --stage {about.alias}\n```\n\n```python\n"
        f'import mlflow\n\nmlflow.set_tracking_uri("<the store>")\n'
        f'mlflow.pyfunc.load_model("{uri}").predict(table)\n```',
    )
    yield (
        "How to reproduce it",
        f"At the commit above, in the store that has the run:\n\n```\n{about.reproduce}\n```\n\nElsewhere, with the "
        f"table in its place:\n\n```\n{about.overrides}\n```",
    )


def _scores(run: RecordedRun, unit: str, consulted: int) -> Iterator[str]:
    folds = any(f"cv_{metric.name}" in run.metrics for metric in METRICS)
    yield f"| | held out (95 % interval) |{' folds ± spread |' if folds else ''} training |"
    yield "|---" * (4 if folds else 3) + "|"
    for metric in METRICS:
        if metric.name in run.metrics:
            label = ", ".join(filter(None, [metric.label, metric.unit_of(unit)]))
            over = f" {numbers.over_folds(run.metrics, metric.name)} |" if f"cv_{metric.name}" in run.metrics else ""
            training = numbers.score(run.metrics.get(f"train_{metric.name}", math.nan))
            yield f"| {escaped(label)} | {numbers.held_out(run.metrics, metric.name)} |{over} {training} |"
    runs = "run was" if consulted == 1 else "runs were"
    yield (
        f"\nThe held-out rows were scored once for this run; {consulted} {runs} scored on them so far, and the "
        "more, the more optimistic the best of them. Intervals are those of other rows of the same kind."
    )


def _groups(slices: pd.DataFrame, unit: str) -> Iterator[str]:
    yield f"| column | group | rows | RMSE{f', {escaped(unit)}' if unit else ''} | MAE |"
    yield "|---|---|---:|---:|---:|"
    for row in slices.to_dict("records"):
        cells = (escaped(str(row["column"])), escaped(str(row["group"])), str(row["rows"]))
        yield f"| {' | '.join(cells)} | {numbers.score(row['rmse'])} | {numbers.score(row['mae'])} |"
    yield "\nHeld-out rows; few rows make a score uncertain."


def _columns(profile: Mapping[str, Any]) -> Iterator[str]:
    yield "| column | type | values in the training rows | gaps |"
    yield "|---|---|---|---:|"
    for name, column in profile.get("columns", {}).items():
        if name == profile.get("target"):
            continue
        if "min" in column:
            values = numbers.interval(column["min"], column["max"])
        else:
            known = [str(each) for each in column.get("categories", {})]
            more = f", … ({column.get('distinct', len(known))} in all)" if len(known) > SHOWN else ""
            values = escaped(", ".join(known[:SHOWN])) + more
        yield f"| {escaped(str(name))} | {column.get('type', '')} | {values} | {column.get('gaps', 0)} |"


def _coverage(promise: Promise) -> str:
    if not promise.calibration:
        return "None: there are no out-of-fold predictions, or too few groups of them, to make them from."
    share, low, high = promise.coverage
    if promise.dependent:
        return (
            f"{promise.confidence:.0%} intervals are made from out-of-fold residuals, by thirds of the prediction "
            f"(conformal, Mondrian). Of the {promise.rows} held-out rows {promise.covered} lie in theirs: {share:.1%}. "
            f"How far that may be off is not said, since {promise.dependent}."
        )
    return (
        f"{promise.confidence:.0%} intervals are made from {sum(promise.calibration)} out-of-fold residuals, by "
        f"thirds of the prediction (conformal, Mondrian). Of the {promise.rows} held-out rows {promise.covered} lie in "
        f"theirs: {share:.1%} (95 % interval {low:.1%} to {high:.1%}). That is a look, not a test: the coverage of one "
        "split scatters by three to four points."
    )


def _allowed(promise: Promise, unit: str) -> str:
    if promise.dependent:
        return f"Not said, and `predict` does not judge a table by it: {promise.dependent}."
    rmse = numbers.with_unit(numbers.score(promise.largest_rmse(EXAMPLE)), unit)
    said = f"{EXAMPLE} new rows of the same kind rarely have an RMSE above {rmse} (in about 1 of 100 tables)"
    if promise.calibration:
        thirds = dict(enumerate(promise.calibration))
        even = {third: EXAMPLE // len(thirds) + (third < EXAMPLE % len(thirds)) for third in thirds}
        fewest = promise.fewest_covered(even, thirds)
        said += f", and rarely fewer than {fewest} of them in their {promise.confidence:.0%} interval"
    return (
        f"{said}. `predict` tests a table that has the target: its squared errors against those of held-out rows "
        "(permutations, 1 %), and how many lie in their intervals (beta-binomial, 1 %). With `alarm=true` it fails."
    )


def _configuration(params: dict[str, str]) -> Iterator[str]:
    yield "| setting | value |"
    yield "|---|---|"
    for name, value in sorted(params.items()):
        if name.startswith(("model.", "preprocess.", "evaluation.", "data.test", "data.split", "data.drop", "seed")):
            short = value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"
            yield f"| `{name}` | `{short.replace('`', '').replace('|', '')}` |"
