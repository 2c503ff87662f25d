"""Writes a generated list of sales as a German office would export it: python data/houses.py houses.csv

Semicolons, decimal commas, points between thousands, cp1252, dates as 31.12.2024; gaps, identifiers, free text, agents
who each sold several houses. Nobody lives there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 800


def german(value: float, digits: int = 1) -> str:
    """1234.5 as 1.234,5; a gap as nothing."""
    return "" if np.isnan(value) else f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def sales(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size, plot = rng.uniform(60, 260, ROWS), rng.uniform(200, 2500, ROWS)
    town = rng.choice(["Ulm", "Köln", "Bonn", "Kiel", "Jena"], ROWS)
    agent = rng.integers(0, 60, ROWS)
    sold = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 1400, ROWS), unit="D")
    level = {"Ulm": 1.1, "Köln": 1.5, "Bonn": 1.3, "Kiel": 1.0, "Jena": 0.8}
    worth = np.array([level[each] for each in town]) * (2000 * size + 90 * plot)
    price = worth * np.exp(0.08 * rng.normal(size=60)[agent] + 0.07 * rng.normal(size=ROWS))
    plot[rng.random(ROWS) < 0.04] = np.nan
    return pd.DataFrame(
        {
            "Objekt-ID": [f"H{number:04d}" for number in rng.permutation(ROWS)],
            "PLZ": [f"{number:05d}" for number in rng.integers(1000, 1040, ROWS)],
            "Ort": town,
            "Makler": [f"Makler {number}" for number in agent],
            "Verkauft": sold.strftime("%d.%m.%Y"),
            "Wohnfläche": [german(value) for value in size],
            "Grundstück": [german(value) for value in plot],
            "Zimmer": (size / 30).round().astype(int) + rng.integers(0, 2, ROWS),
            "Provision": [f"{german(value)} %" for value in rng.uniform(1, 4, ROWS)],
            "Land": "DE",
            "Notiz": [f"Besichtigung nach Absprache, Schlüssel {number} im Büro" for number in range(ROWS)],
            "Preis": [f"{german(value, 0)} €" for value in price],
        }
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(sales().to_csv(sep=";", index=False).encode("cp1252"))
