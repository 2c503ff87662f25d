"""What becomes of 5,000 generated tables, as docs/proofs/tables.md (make proof).

python -m tests.experiment.tables_proof            all of them
python -m tests.experiment.tables_proof 100 7      the hundred from number 7 on
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence

from tests.experiment.any_table import Outcome, outcomes


def kind_of(says: str) -> str:
    """What a refusal is about."""
    return next((what for sign, what in KINDS.items() if re.search(sign, says)), "OTHER: " + says[:100])


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main(number: int = 5_000, first: int = 0) -> None:
    """Print docs/proofs/tables.md."""
    found = []
    for each in outcomes(number, first):
        found.append(each)
        if each.kind in ("defect", "hang") or (each.fits and each.kind == "refused") or each.misread:
            print(each.kind, each, file=sys.stderr, flush=True)
    tell(found)


def tell(found: Sequence[Outcome]) -> None:
    """Print what became of the tables."""
    number = len(found)
    fits = [each for each in found if each.fits]
    done = sum(each.kind == "finished" for each in fits)
    print("# Tables of every sort: a finished run or a clear refusal\n")
    print("`make proof` writes this file: tests/experiment/tables_proof.py says how.\n")
    print(
        f"{number:,} generated tables went through reading, roles, split, fit, scores and checks. Wanted: no traceback,"
    )
    print("no check that cannot be made, none that takes more than a minute.\n")
    print(row("file", "tables", "finished", "refused", "defects", "hangs"))
    print(row(*["---"] * 6))
    for kind, those in (*_by_file(found).items(), ("all", found)):
        ends = Counter(each.kind for each in those)
        print(row(kind, len(those), *(ends[end] for end in ("finished", "refused", "defect", "hang"))))
    print(f"\nThe slowest took {max(each.seconds for each in found):.0f} s.")
    bare, misread = sum(each.bare for each in found), sum(each.misread for each in fits)
    share = 100 * done / max(1, len(fits))
    print(f"\nOf {bare:,} with no setting but the target and preprocess=tabular, a script of pandas and scikit-learn")
    print(f"that is told how each file is written fits {len(fits):,}. Here, where that is found in the file,")
    print(f"{done:,} of them finish: {share:.1f} % (wanted: 98). In {misread} the target was read otherwise than it")
    print("was meant: 102.162 and its like alone, which may have a decimal point or thousands.\n")
    print(row("refused, though the script fits it", "tables"))
    print(row("---", "---"))
    _print_kinds([each for each in fits if each.kind == "refused"])
    print("\nAll refusals, of tables with settings drawn at random too; a table may have several:\n")
    print(row("refused because", "tables"))
    print(row("---", "---"))
    _print_kinds([each for each in found if each.kind == "refused"])


def _by_file(found: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    return {kind: [each for each in found if each.table == kind] for kind in sorted({each.table for each in found})}


def _print_kinds(refused: Sequence[Outcome]) -> None:
    kinds = Counter(kind for each in refused for kind in {kind_of(says) for says in each.says})
    for kind, count in sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0])):
        print(row(kind, count))


KINDS = {
    "need 2": "too few rows to train on and to test on",
    "No column is left": "no column but identifiers, text and constants",
    "two columns are named": "two columns of one name",
    "beyond 1e": "a target beyond 1e150, whose square is no number",
    "there is nothing to learn": "a target that is the same in every row",
    "infinite values": "infinite values",
    "data.target=.* has no value": "a target with gaps",
    "data.target=.* is not numeric": "a target that is no number",
    "has dates, not numbers": "a target of dates",
    "data.target=.* is not a column": "the target is no column",
    "data.weight=": "weights that are none",
    "data.time=": "times with gaps or of no order",
    "data.group=": "too few groups",
    "data.roles:": "a role that does not fit the column, or of no column",
    "exclude each other|there is one way|repeats folds": "settings that exclude each other",
    "splits nothing": "a typed separator that splits nothing",
    "cannot be read as a table": "a file that cannot be read as its settings say",
    "Text columns": "text, without a preprocess",
    "Gaps, which": "gaps, without a preprocess",
    "cannot be fitted|cannot be predicted": "a model that scikit-learn does not fit to such rows",
    "preprocess cannot take": "a preprocess that cannot take the table",
    "n_splits=": "too few rows for the folds",
    "is not a column|are not columns": "a setting names no column",
    "takes no weights": "a model that takes no weights",
    "is the target": "a setting names the target",
    "fits all values of no column": "a date format that fits no column",
    "is for a file without header": "names for the columns of a file that has a header",
    "has no rows": "no rows",
}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
