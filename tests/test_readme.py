"""What the documents show is printed again to the last digit, by their own commands in fresh clones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documented import DOCUMENTS, Shown, compare, run_again, shown_in


@pytest.mark.slow
@pytest.mark.parametrize(("document", "part"), DOCUMENTS, ids=lambda each: str(each).replace("/", "-"))
def test_every_command_of_a_document_prints_what_it_shows(clone: Path, document: str, part: int) -> None:
    compared = []
    for each in run_again(document, part, clone):
        assert not each.differences, f"$ {each.command}\n{each.differences}\n{each.printed}"
        compared.append(each)
    assert sum(each.numbers for each in compared) > 4


def test_every_document_that_shows_a_command_is_run() -> None:
    documents = [ROOT / "README.md", ROOT / "data" / "README.md", *ROOT.glob("docs/**/*.md")]
    shown = {str(each.relative_to(ROOT)) for each in documents if shown_in(each.read_text())}
    assert shown == {document for document, _ in DOCUMENTS}


def test_a_digit_that_is_another_now_is_found(tmp_path: Path) -> None:
    """And what varies by its nature is not taken for one."""
    given = ["RMSE 3.001 2.171", "run 898bd9b2eb2a408e8620709bb512a92c, 3 min", "gone 7"]
    step = Shown("printf 'RMSE 3.001 2.172\\nrun 1c8ea3aeb4c0438fb12b5ebf392eee48, 7 min\\n'; exit 1", given)
    compared = compare("README.md", step, tmp_path, {"PATH": "/usr/bin:/bin"}, {})
    assert compared.differences == ["it ended with code 1", "2.171 is now 2.172", "not printed: gone 7"]
    assert compared.numbers == 3


def test_links_and_pictures_of_the_documents_exist() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "data" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
