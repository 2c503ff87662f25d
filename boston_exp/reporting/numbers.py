"""Numbers as a person reads them: four significant digits, two of a spread, and never an exponent where none is
needed."""

from __future__ import annotations

import math
from collections.abc import Mapping

LARGE, SMALL = 1e8, 1e-4  # beyond them an exponent is easier to read


def score(value: float) -> str:
    """Four significant digits: 0.8772, 3.001, 23,460, 1.235e+09."""
    return _significant(value, 4)


def rough(value: float) -> str:
    """Two significant digits: 0.82, 1.7, 6,000."""
    return _significant(value, 2)


def plus_minus(mean: float, spread: float) -> str:
    """`3.721 ± 0.54`; the mean alone where there is no spread."""
    if not math.isfinite(spread):
        return score(mean)
    return f"{score(mean)} ± {f'{spread:.1e}' if 'e' in score(mean) else rough(spread)}"


def interval(low: float, high: float) -> str:
    """`2.171 to 3.921`."""
    return f"{score(low)} to {score(high)}"


def with_unit(text: str, unit: str) -> str:
    """`3.001 thousand USD`, `11.22 %`."""
    return f"{text} {unit}".rstrip()


def has_interval(metrics: Mapping[str, float], name: str = "rmse") -> bool:
    """Whether a score of the held-out rows has an interval; where they are one group or one stretch of time, its ends
    are nan."""
    return math.isfinite(metrics.get(f"{name}_ci_low", math.nan))


def held_out(metrics: Mapping[str, float], name: str) -> str:
    """`3.001 (2.171 to 3.921)`: a score of the held-out rows with its interval, where there is one."""
    text = score(metrics[name])
    if has_interval(metrics, name):
        text += f" ({interval(metrics[f'{name}_ci_low'], metrics[f'{name}_ci_high'])})"
    return text


def over_folds(metrics: Mapping[str, float], name: str) -> str:
    """`3.721 ± 0.54`: mean and spread of a metric over the folds."""
    return plus_minus(metrics[f"cv_{name}"], metrics.get(f"cv_{name}_std", math.nan))


def file_size(size: int | None) -> str:
    """Of bytes: `1.2 MB`."""
    if size is None:
        return "unknown size"
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _significant(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= LARGE or 0 < size < SMALL:
        return f"{value:.{digits - 1}e}"
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:#.{digits}g}"
