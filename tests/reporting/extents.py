"""What is wrong with a figure by matplotlib's own extents: text that is cut by the edge, or lies on other text."""

from __future__ import annotations

from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 1.0  # pixels


def troubles(figure: Figure) -> list[str]:
    """Sentences; none for a figure that can be read."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    edge = figure.bbox
    shown = [(text.get_text(), _box(text, canvas)) for text in _texts(figure)]
    found = [
        f"cut: {text!r}"
        for text, box in shown
        if box.x0 < edge.x0 - SLACK or box.y0 < edge.y0 - SLACK or box.x1 > edge.x1 + SLACK or box.y1 > edge.y1 + SLACK
    ]
    for (one, its), (other, others) in combinations(shown, 2):
        inner = Bbox.intersection(its, others)
        if inner is not None and inner.width > SLACK and inner.height > SLACK:
            found.append(f"{one!r} lies on {other!r}")
    for axes in figure.axes:
        ticks = [each.get_text() for each in axes.get_xticklabels() if each.get_text()]
        if axes.get_visible() and axes.has_data() and not ticks and axes.get_xscale() == "linear":
            found.append("an axis without ticks")
        found += [f"a tick of {len(text)} characters: {text}" for text in ticks if len(text.replace("$", "")) > 24]
    return found


def _texts(figure: Figure) -> list[Text]:
    """Every text that is drawn: ticks that are outside of the view are not."""
    hidden: set[int] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high or not _drawn(tick):
                    hidden |= {id(tick.label1), id(tick.label2)}
    every = figure.findobj(Text)
    return [each for each in every if each.get_visible() and each.get_text().strip() and id(each) not in hidden]


def _drawn(tick: Tick) -> bool:
    axes = tick.axes
    return not isinstance(axes, Axes) or axes.get_visible()


def _box(text: Text, canvas: FigureCanvasAgg) -> Bbox:
    return text.get_window_extent(canvas.get_renderer())
