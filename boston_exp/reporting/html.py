"""A page as one self-contained HTML file: tables, and figures as SVG, for light and dark screens. No script, and
nothing is loaded."""

from __future__ import annotations

import io
import re
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.redaction import redact
from boston_exp.reporting.figures import BLUE
from boston_exp.storage.folders import new_file_mode


@dataclass(frozen=True)
class Shown:
    """A figure with its heading and what it says."""

    title: str
    says: str
    svg: Markup


def rendered(package: str, template: str, **content: Any) -> str:
    """A template of a package of ours, which may extend `page.html.j2` of this one; without secrets."""
    loaders = ChoiceLoader([PackageLoader(package, "."), PackageLoader("boston_exp.reporting", ".")])
    pages = Environment(loader=loaders, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return redact(pages.get_template(template).render(**content))


def write(file: Path, text: str) -> None:
    """Write a page: it is there whole or not at all. Raises InvalidConfig where the file cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".html", delete=False, encoding="utf-8") as draft:
            draft.write(text)
        Path(draft.name).chmod(new_file_mode())
        Path(draft.name).replace(file)
    except OSError as error:
        with suppress(NameError, OSError):
            Path(draft.name).unlink()
        says = f"report={file} cannot be written: {error.strerror or error}."
        raise InvalidConfig(Fault(says, again("report=report.html"))) from error


def svg(figure: Figure) -> Markup:
    """Inline, without the prolog, whose DTD is a link, and without a date; its black and blue are those of the page."""
    text = io.StringIO()
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none"}):  # text stays text, in the browser's fonts
        warnings.simplefilter("ignore", UserWarning)  # of glyphs that are missing in matplotlib's own
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = re.sub(r"^.*?(?=<svg)", "", text.getvalue(), count=1, flags=re.DOTALL)
    for colour, of_the_page in (("#000000", "currentColor"), (BLUE, "var(--mark)")):
        drawn = drawn.replace(colour, of_the_page)
    return Markup(drawn)  # noqa: S704 (matplotlib escapes what it draws)
