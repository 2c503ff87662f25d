"""Tables of every sort that a person may bring, written to files as programs and people write them."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tests.experiment import generated_columns as columns
from tests.experiment.generated_columns import Column, Rng, Style

NAMES = (
    *("self", "index", "", "Unnamed: 0", "Wohnfläche", "prix €", "mean of y (USD)", "Price", "price", "PRICE", "{x}"),
    *("{}", "[1]", "a=b", "a,b", "a;b", 'say "x"', "it's", "$HOME", "${oc.env:HOME}", "data.target", "null", "true"),
    *("1", "2020", "3.5", "2020-01-01", "row", "fold", "actual", "predicted", "weight", "cluster", "time", "level_0"),
    *("feature", "名前", "🏠", "x" * 300, " lead", "trail ", "new\nline", "tab\tname", "a\\b", "a/b", "%", "#", "???"),
    *("role:number", "<b>", "x__y", "target", "sample_weight", "random_state", "nan", "None", "-", ".", "~a", "+a"),
    *("@", "a:b", "?", "mean", "ID", "date"),
)  # fmt: skip
TEXT_ENDINGS = ("csv", "csv", "csv", "csv", "csv", "txt", "tsv", "csv.gz", "zip")


@dataclass(frozen=True)
class Table:
    """A file with a table, and what a script needs to know to read it by pandas alone."""

    path: Path
    target: str
    y: np.ndarray | None  # (n,) float64, the target as it was meant; None where it is no number
    names: tuple[str, ...]
    kinds: tuple[str, ...]  # of the columns
    kind: str
    by_pandas: Callable[[], pd.DataFrame]  # columns are named by text


def table(rng: Rng, folder: Path) -> Table:
    """One table; some 2 to 300 rows and 1 to 60 columns, a few larger."""
    n = int(rng.choice([rng.integers(2, 20), rng.integers(20, 300), rng.integers(1000, 5000)], p=[0.03, 0.96, 0.01]))
    wide = [rng.integers(1, 4), rng.integers(3, 10), rng.integers(10, 60), 300]
    width = int(rng.choice(wide, p=[0.08, 0.84, 0.079, 0.001])) if n < 1000 else int(rng.integers(3, 8))
    features = [columns.drawn(rng, n) for _ in range(width)]
    place = int(rng.integers(0, width + 1))
    drawn = [*features[:place], _target(rng, n, features), *features[place:]]
    names = _names(rng, len(drawn), place)
    form = rng.choice(["text", "parquet", "feather", "xlsx"], p=[0.8, 0.15, 0.04, 0.01])
    write = _text if form == "text" else _excel if form == "xlsx" else partial(_typed, ending=str(form))
    return write(rng, folder, drawn, names, place)


def _target(rng: Rng, n: int, features: Sequence[Column]) -> Column:
    """Mostly numbers that depend on some features."""
    signal = np.zeros(n)
    for each in features[:3]:
        signal += pd.factorize(each.values.astype(str))[0] % 7
    y = signal + rng.normal(size=n)
    usual: Sequence[Callable[[], Column]] = (
        lambda: Column("a", pd.Series(np.round(y * 10.0 ** rng.integers(-1, 4), 2)), partial(columns.number, places=2)),
        lambda: Column("b", pd.Series(y * 10.0 ** rng.integers(-9, 12)), columns.number),
        lambda: Column("c", pd.Series(np.round(100_000 * np.exp(y / 8)).astype("int64")), columns.whole),
        lambda: Column("d", pd.Series(rng.integers(0, 4, n))),
        lambda: columns.currency(rng, n), lambda: columns.percent(rng, n),
    )  # fmt: skip
    odd: Sequence[Callable[[], Column]] = (
        lambda: Column("constant", pd.Series([3.5] * n), columns.number), lambda: columns.flags(rng, n),
        lambda: Column("enormous", pd.Series(y * 1e200), columns.number), lambda: columns.dates(rng, n),
        lambda: columns.durations(rng, n), lambda: columns.garbage(rng, n), lambda: columns.few(rng, n),
        lambda: columns.nullable(rng, n), lambda: columns.with_gaps(rng, usual[0]()), lambda: columns.counted(rng, n),
        lambda: columns.small(rng, n), lambda: columns.identifiers(rng, n), lambda: columns.infinite(rng, n),
    )  # fmt: skip
    if rng.uniform() < 0.05:
        return odd[rng.integers(len(odd))]()
    return usual[rng.choice(len(usual), p=[0.4, 0.2, 0.2, 0.05, 0.1, 0.05])]()


def _names(rng: Rng, number: int, target: int) -> list[str]:
    """Odd ones in a third of the tables; two that are alike in one of 500."""
    names = [f"x{place}" for place in range(number)]
    names[target] = str(rng.choice(["y", "Preis", "price (USD)"]))
    if rng.uniform() < 0.35:
        odd = rng.permutation(np.array(NAMES, dtype=object))
        for place, name in zip(rng.permutation(number)[: rng.integers(1, 12)], odd, strict=False):
            if name or place != target:
                names[place] = name
    if rng.uniform() < 0.002 and number > 2:
        names[(target + 1) % number] = names[(target + 2) % number]
    return names


def _kinds(drawn: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.kind for column in drawn)


def _meant(column: Column) -> np.ndarray | None:
    if column.kind.startswith("durations"):
        return column.values.dt.total_seconds().to_numpy()
    if column.values.dtype.kind == "M":
        return None
    try:
        return pd.to_numeric(column.values).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return None


def _text(rng: Rng, folder: Path, drawn: Sequence[Column], names: list[str], place: int) -> Table:
    """A file of text in a dialect that a program or a person uses."""
    ending = str(rng.choice(TEXT_ENDINGS))
    sep = "\t" if ending == "tsv" else str(rng.choice([",", ";", "\t", "|"], p=[0.6, 0.28, 0.08, 0.04]))
    comma = rng.uniform() < (0.02 if sep == "," else 0.6)
    grouped = rng.uniform() < 0.2
    marks = (".", " ", "\u00a0") if comma else (",", " ", "'")
    gap = "" if rng.uniform() < 0.6 else str(rng.choice(["NA", "nan", "-", "?", "n/a", "NULL", "k.A."]))
    style = Style("," if comma else ".", str(rng.choice(marks)) if grouped else "", gap)
    header = rng.uniform() > 0.05
    cells = [column.text(style) for column in drawn]
    if rng.uniform() < 0.05:  # as pandas and R write the numbers of the rows
        cells, names = [[str(k) for k in range(len(cells[0]))], *cells], ["", *names]
        drawn, place = [columns.counted(rng, len(cells[0])), *drawn], place + 1
    elif sep == ";" and rng.uniform() < 0.03:  # a separator ends each line
        cells, names = [*cells, [""] * len(cells[0])], [*names, ""]
    names = names if header else [str(number) for number in range(len(names))]
    above = ["Report of 3 May", ""] if header and rng.uniform() < 0.02 else []
    if not above and header and sep in ",;" and rng.uniform() < 0.01:
        above = [f"sep={sep}"]
    out = io.StringIO()
    ends = str(rng.choice(["\n", "\r\n"]))
    out.write("".join(line + ends for line in above))
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC], p=[0.8, 0.1, 0.1])
    writer = csv.writer(out, delimiter=sep, quoting=int(quoting), lineterminator=ends)
    writer.writerows([*([names] if header else []), *zip(*cells, strict=True)])
    content, encoding = _encoded(rng, out.getvalue())
    path = folder / f"t.{ending}"
    path.write_bytes(_packed(content, ending))
    given = {"sep": sep, "decimal": style.decimal, "thousands": style.thousands or None, "encoding": encoding,
             "header": 0 if header else None, "skiprows": len(above), "na_values": [style.gap]}  # fmt: skip
    by_pandas = partial(_read_text, path, given)
    return Table(path, names[place], _meant(drawn[place]), tuple(names), _kinds(drawn), f"text, {ending}", by_pandas)


def _read_text(path: Path, given: dict) -> pd.DataFrame:
    frame = pd.read_csv(path, **given)
    return frame.set_axis(frame.columns.astype(str), axis=1)


def _encoded(rng: Rng, text: str) -> tuple[bytes, str]:
    wanted = str(rng.choice(["utf-8", "cp1252", "utf-8-sig", "utf-16", "latin-1"], p=[0.6, 0.2, 0.1, 0.05, 0.05]))
    try:
        return text.encode(wanted), wanted
    except UnicodeEncodeError:
        return text.encode(), "utf-8"


def _packed(content: bytes, ending: str) -> bytes:
    if ending == "csv.gz":
        return gzip.compress(content, 1)
    if ending != "zip":
        return content
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("t.csv", content)
    return packed.getvalue()


def _frame(drawn: Sequence[Column], names: list[str]) -> pd.DataFrame:
    frame = pd.concat([column.values.reset_index(drop=True) for column in drawn], axis=1)
    return frame.set_axis(pd.Index(names, dtype=object), axis=1)


def _typed(rng: Rng, folder: Path, drawn: Sequence[Column], names: list[str], place: int, ending: str) -> Table:
    """Parquet or Feather; objects of several types, which they do not take, as text."""
    plain = [Column(c.kind, c.values.map(str, na_action="ignore")) if c.kind.startswith("Python") else c for c in drawn]
    names = [name if names.index(name) == at else f"{name}.{at}" for at, name in enumerate(names)]
    frame, path = _frame(plain, names), folder / f"t.{ending}"
    if ending == "parquet" and rng.uniform() < 0.1:
        index = next(name for name in names if name != names[place] and name)
        frame = frame.set_index(index)
    elif ending == "parquet" and rng.uniform() < 0.1:
        frame.index = pd.Index(rng.permutation(len(frame)) * 2)
    getattr(frame, f"to_{ending}")(path)
    return Table(path, names[place], _meant(plain[place]), tuple(names), _kinds(drawn), str(ending),
                 lambda: getattr(pd, f"read_{ending}")(path).reset_index(drop=frame.index.name is None))  # fmt: skip


def _excel(rng: Rng, folder: Path, drawn: Sequence[Column], names: list[str], place: int) -> Table:
    """A sheet, of the first 300 rows; dates without their zones, which Excel has not."""
    plain = [Column(c.kind, c.values.dt.tz_localize(None) if getattr(c.values.dtype, "tz", None) else c.values)
             for c in drawn]  # fmt: skip
    names = [name or f"x{at}" for at, name in enumerate(names)]
    path = folder / "t.xlsx"
    _frame(plain, names).head(300).to_excel(path, index=False)
    y = _meant(plain[place])
    return Table(path, names[place], None if y is None else y[:300], tuple(names), _kinds(drawn), "Excel",
                 lambda: pd.read_excel(path, engine="calamine"))  # fmt: skip
