"""Imports point down: commands → experiment, tracking, storage → config → settings, errors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "boston_exp"
LEVEL = {
    "errors": 0, "settings": 1, "completion": 1, "config": 2, "checks": 3, "experiment": 3, "storage": 3, "tracking": 4
}  # fmt: skip
COMMANDS = 5
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("boston_exp"):
            names = (
                [f"boston_exp.{alias.name}" for alias in node.names] if node.module == "boston_exp" else [node.module]
            )
            for there in map(room, names):
                lower = LEVEL.get(there, COMMANDS) < LEVEL.get(here, COMMANDS)
                assert here == there or lower or LEVEL.get(here, COMMANDS) == COMMANDS, f"{path.name} imports {there}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_a_comfortable_room_and_says_what_it_knows(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "a module opens with its purpose"
    assert len(text.splitlines()) <= 400


def test_no_module_is_named_for_nothing() -> None:
    assert not {path.stem for path in MODULES} & {"utils", "helpers", "common", "misc"}
