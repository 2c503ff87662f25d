"""A comparison as one self-contained HTML file: tables, and figures as SVG. No script, nothing is loaded."""

from __future__ import annotations

import io
import os
import re
import tempfile
import textwrap
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.lifecycle.comparing import figures as drawing
from boston_exp.lifecycle.comparing.differences import Differs
from boston_exp.lifecycle.comparing.pairs import Comparison, Pair
from boston_exp.lifecycle.comparing.screen import pair_row, score_cells
from boston_exp.lifecycle.comparing.verdicts import about_folds, names, number, verdict
from boston_exp.redaction import redact

LONGEST = 40  # characters of a name in a figure


@dataclass(frozen=True)
class Shown:
    """A figure with its heading and what it says."""

    title: str
    says: str
    svg: Markup


def write(file: Path, found: Comparison, slices: Sequence[pd.DataFrame | None], differing: list[Differs]) -> None:
    """Write the report; raises InvalidConfig where the file cannot be written. It is there whole or not at all.

    `slices` has the errors by groups of rows that each run has recorded.
    """
    text = redact(_rendered(found, slices, differing))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".html", delete=False, encoding="utf-8") as draft:
            draft.write(text)
        Path(draft.name).chmod(0o666 & ~_umask())
        Path(draft.name).replace(file)
    except OSError as error:
        with suppress(NameError, OSError):
            Path(draft.name).unlink()
        says = f"report={file} cannot be written: {error.strerror or error}."
        raise InvalidConfig(Fault(says, again("report=compare.html"))) from error


def _rendered(found: Comparison, slices: Sequence[pd.DataFrame | None], differing: list[Differs]) -> str:
    pages = Environment(loader=PackageLoader("boston_exp.lifecycle.comparing", "."), autoescape=True)
    unit = f", {found.unit}" if found.unit else ""
    return pages.get_template("report.html.j2").render(
        title=f"{' against '.join(dict.fromkeys(run.name for run in found.runs))}: {found.metric.label}",
        verdicts=[verdict(found, pair) for pair in found.pairs],
        label=f"{found.metric.label}{unit}",
        scores=[score_cells(found, run) for run in found.runs],
        pairs=[_pair(found, pair) for pair in found.pairs],
        has_folds=any(pair.folds for pair in found.pairs),
        about_folds=about_folds(found),
        figures=[each for pair in found.pairs for each in _figures(found, pair, slices)],
        differences=differing,
    )


def _pair(found: Comparison, pair: Pair) -> dict[str, str]:
    row: dict[str, Any] = pair_row(found, pair)
    a, b = names(pair.a, pair.b)
    cells = {
        "a": a,
        "b": b,
        "difference": f"{number(row['difference'])} ({number(row['low'])} to {number(row['high'])})",
        "p": f"{row['p_holm']:.2g}",
    }
    if pair.folds:
        shares = (row[f"probability_{each}"] for each in ("a_better", "same", "b_better"))
        cells |= {
            "folds": number(row["folds_difference"]),
            "folds_p": f"{row['folds_p']:.2g}",
            "chances": " / ".join(f"{share:.0%}" for share in shares),
        }
    return cells


def _figures(found: Comparison, pair: Pair, slices: Sequence[pd.DataFrame | None]) -> list[Shown]:
    a, b = (textwrap.shorten(name, LONGEST, placeholder=" …") for name in names(pair.a, pair.b))
    tables = dict(zip((run.run_id for run in found.runs), found.held_out, strict=True))
    of_a, of_b = tables[pair.a.run_id], tables[pair.b.run_id]
    by_run = dict(zip((run.run_id for run in found.runs), slices, strict=True))
    shown = [
        Shown(
            "Error against error",
            f"Each held-out row once. Above the line {b} is off by more than {a}.",
            _svg(drawing.errors(of_a, of_b, a, b, found)),
        ),
        Shown(
            "Difference over the target",
            f"Contribution of each tenth of the rows, by their target, to {found.metric.label}; below zero {a} is "
            "better. Bars are 95 % intervals of a mean of about ten rows each.",
            _svg(drawing.deciles(of_a, of_b, a, b, found)),
        ),
    ]
    one, other = by_run[pair.a.run_id], by_run[pair.b.run_id]
    if one is not None and other is not None:
        both = one.merge(other, on=["column", "group"], suffixes=("_a", "_b"))
        for column, part in both.groupby("column", sort=False):
            shown.append(
                Shown(
                    f"Over groups of {column}",
                    f"{found.metric.label} of the held-out rows of each group; few rows make a score uncertain.",
                    _svg(drawing.groups(part, str(column), a, b, found)),
                )
            )
    return shown


def _svg(figure: Figure) -> Markup:
    """Inline, without the prolog, whose DTD is a link, and without a date."""
    text = io.StringIO()
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none"}):  # text stays text, in the browser's fonts
        warnings.simplefilter("ignore", UserWarning)  # of glyphs that are missing in matplotlib's own
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return Markup(re.sub(r"^.*?(?=<svg)", "", text.getvalue(), count=1, flags=re.DOTALL))  # noqa: S704


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
