"""What the head of a text file shows of how it is written: encoding, separator, decimal mark, header.

CleverCSV finds the separator: on 33 files made for it (quoted separators, decimal commas, titles above the header,
aligned columns, one column only) it was right in 31, csv.Sniffer in 30, counting fields alone in 29; both that it
missed have one column, which the header shows. chardet finds the encoding: of 7 short files it was right in 7,
charset-normalizer in 3.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from boston_exp.config.schema import Data
from boston_exp.experiment.reading.cells import ROWS, WHITESPACE, fields, lines_of
from boston_exp.experiment.reading.header import ABOVE, has_header, titles
from boston_exp.experiment.reading.values import DRESSED, NUMBER, undressed

CANDIDATES = [",", ";", "\t", "|", " "]
BOMS = (
    *((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
PIECE = 1 << 14  # characters that CleverCSV looks at: its time grows faster than they do
EVEN = 0.95  # of the rows have as many fields as the header, where words alone may stand between blanks
ENOUGH = 5  # grouped numbers of a column that show it
GROUPED = {",": r"[1-9]\d{0,2}(,\d{3})", ".": r"[1-9]\d{0,2}(\.\d{3})"}
BY_PANDAS = re.compile(r"-?(?:\d+\.(?:\d\d?|\d{4,})|0\.\d+)")  # a point that cannot stand between thousands


class NoText(ValueError):
    """The file is not text, but what has this ending, where that is known."""

    def __init__(self, says: str, ending: str = "") -> None:
        super().__init__(says)
        self.ending = ending


@dataclass(frozen=True)
class Dialect:
    """How a text file is written; `above` counts the lines before its header."""

    sep: str
    decimal: str
    encoding: str
    header: bool
    above: int = 0


def dialect(head: bytes, whole: bool, data: Data, known: Collection[str] = ()) -> Dialect:
    """What `data` says, and where it says nothing, what the head of the file shows, or the `whole` of it; `known` are
    names of columns.

    Raises NoText, LookupError for an encoding that there is none of, UnicodeDecodeError.
    """
    encoding = data.encoding or encoding_of(head)
    text = decoded(head, encoding, whole)
    told = re.match(r"sep=(.)\r?\n", text)  # Excel writes and reads such a line
    sep = data.sep or (told[1] if told else None)
    may_have_titles, above = data.header is not False and not data.columns, 0
    if told and data.header is not False:
        above, text = 1, text[told.end() :]
    if sep is None:
        more, sep = _separated(text, may_have_titles)
    else:
        more = 0
    if not more and may_have_titles and sep in CANDIDATES[:4] and _is_title(fields(text, sep, limit=1)):
        more = _above(lines_of(text[:PIECE]), sep)
    above += more
    text = "".join(lines_of(text)[more:]) if more else text
    rows = fields(text, sep)
    header = data.header if data.header is not None else not data.columns and has_header(rows, known)
    decimal = data.decimal or _decimal(rows[1:] if header else rows, sep)
    return Dialect(sep, decimal, encoding, header, above)


def decoded(head: bytes, encoding: str, whole: bool) -> str:
    """Text without a last line that is cut. Raises NoText, LookupError, UnicodeDecodeError."""
    text = codecs.getincrementaldecoder(encoding)().decode(head, final=whole).removeprefix("\ufeff")
    if "\0" in text or (encoding.startswith("utf-16") and "\ufeff" in text):
        raise NoText("it has bytes that no text has")
    return text if whole else text[: text.rfind("\n") + 1] or text


def encoding_of(content: bytes) -> str:
    """Of bytes that a BOM, UTF-8 itself, or chardet tells the encoding of; Windows-1252 where it reads the same."""
    for bom, encoding in BOMS:
        if content.startswith(bom):
            return encoding
    if content[1:200:2].count(0) > 0.4 * len(content[1:200:2]) > 0:
        return "utf-16-le"
    if content[0:200:2].count(0) > 0.4 * len(content[0:200:2]) > 0:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)  # the last character may be cut
        return "utf-8"
    except UnicodeDecodeError:
        pass
    import chardet

    # Words in ASCII say nothing; with them and with DOS code pages among the answers, euro signs were read as Hebrew.
    telling = b" ".join(re.findall(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x80-\xff]*", content))
    found = "cp1252"
    if len({each for each in telling if each > 127}) > 3:  # else there is nothing to tell languages by
        found = chardet.detect(telling, encoding_era=chardet.EncodingEra.MODERN_WEB)["encoding"] or found
        found = found.replace("Windows-", "cp")
    for western in ("cp1252", "latin-1"):
        try:
            if telling.decode(western) == telling.decode(found, errors="replace"):
                return western
        except (UnicodeDecodeError, LookupError):
            continue
    return "latin-1" if found == "cp1252" else codecs.lookup(found).name  # which has every byte


def _separated(text: str, may_have_titles: bool) -> tuple[int, str]:
    """How many lines stand above the header, and the separator; a comma where the table has one column."""
    lines = lines_of(text)
    if lines and len(lines[0]) > PIECE // 2:  # thousands of columns
        first = lines[0]
        return 0, max(CANDIDATES[:4], key=lambda sep: len(fields(first, sep)[0]))
    piece = text[:PIECE]
    piece = piece[: piece.rfind("\n") + 1] or piece if len(text) > PIECE else piece
    splitting = {sep: set(map(len, fields(piece, sep))) - {1} for sep in CANDIDATES}
    only = [sep for sep, widths in splitting.items() if widths]
    if len(only) == 1 and only != [" "] and len({len(row) for row in fields(piece, only[0])}) == 1:
        return 0, only[0]  # nothing to weigh: CleverCSV takes a seventh of a second to import

    import clevercsv

    try:
        sniffed = clevercsv.Sniffer().sniff(piece, delimiters=CANDIDATES)
        found = sniffed.delimiter if sniffed else ""
    except clevercsv.Error:
        found = ""
    blanks = [WHITESPACE, " "] if found == " " else []
    for sep in dict.fromkeys([*(blanks or [found or ","]), *CANDIDATES[:-1]]):
        rows = fields(piece, sep, limit=100)
        widths = Counter(map(len, rows))
        if not rows or widths.most_common(1)[0][0] < 2:
            continue
        if len(rows[0]) > 1:
            even = widths[len(rows[0])] >= EVEN * len(rows)
            if even or (sep == found and not blanks):
                return 0, sep
            continue
        above = _above(lines, sep) if may_have_titles else 0
        if above:
            return above, sep
    return 0, ","


def _above(lines: Sequence[str], sep: str) -> int:
    """How many lines stand above the header."""
    return titles([(fields(line, sep) or [[]])[0] for line in lines[: 3 * ABOVE]])


def _is_title(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row may be one: separators alone follow its words, or it has no more than half of the cells."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows[:1]]
    return bool(rows) and filled[0] <= max(1, len(rows[0]) // 2)


def _decimal(rows: Sequence[Sequence[str]], sep: str) -> str:
    """The decimal mark that most columns show; a comma where semicolons leave it open between it and thousands."""
    votes = Counter[str]()
    width = max(map(len, rows), default=0)
    for place in range(min(width, ROWS)):
        cells = [row[place] for row in rows if place < len(row)]
        shown = {
            mark for cell in cells if (mark := "." if BY_PANDAS.fullmatch(cell) else _shown(undressed(cell, DRESSED)))
        }
        if shown <= {"", "?"} and (mark := _beside_grouped(cells)):
            shown = {mark}
        if len(shown) == 1:
            votes.update(shown)
    if votes[","] == votes["."]:
        return "," if sep == ";" and (votes["?"] or votes[","]) else "."
    return "," if votes[","] > votes["."] else "."


def _beside_grouped(cells: Sequence[str]) -> str:
    """The decimal mark of a column where whole numbers below a thousand stand beside grouped ones: 328 and 2.608. Of
    numbers with three decimal places one in ten ends in a zero, and is written with two."""
    numbers = [undressed(cell, DRESSED) for cell in cells]
    if not any(re.fullmatch(r"[1-9]\d{0,2}", each) for each in numbers):
        return ""
    for mark, other in ((".", ","), (",", ".")):
        if sum(bool(re.fullmatch(GROUPED[mark], each)) for each in numbers) >= ENOUGH:
            return other
    return ""


def _shown(cell: str) -> str:
    """The decimal mark that a number cannot be without; ? where its comma may as well stand between thousands."""
    if not NUMBER.fullmatch(cell):
        return ""
    digits = re.sub(r"[ '’]", "", cell.lstrip("+-")).lower().partition("e")[0]
    marks = re.sub(r"\d", "", digits)
    if len(set(marks)) == 2:
        return marks[-1] if marks.count(marks[-1]) == 1 else ""
    if len(marks) > 1:
        other = "," if marks[0] == "." else "."
        return other if re.fullmatch(GROUPED[marks[0]] + "+", digits) else ""
    if marks == "," and re.fullmatch(GROUPED[","], digits):
        return "?"
    return "" if not marks or re.fullmatch(GROUPED["."], digits) else marks
