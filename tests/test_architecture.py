"""The house: imports point down the list of rooms, never in a circle, also inside of a room; no exemptions.

Imports inside of functions and behind TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "boston_exp"
# From the top down. A module may import what stands below its room, and modules of its own room that do not import it.
ROOMS = (
    ("run", "doctor", "leaderboard", "compare", "promote", "predict", "reproduce", "sync", "clean"),
    ("command",), ("sweep",),
    ("lifecycle",), ("diagnosis",), ("training",), ("reporting",), ("tracking",),
    ("experiment",), ("storage",), ("config",), ("errors", "signals"), ("redaction",), ("process",),
)  # fmt: skip
LEVEL = {room: -number for number, rooms in enumerate(ROOMS) for room in rooms}
# Inside of tracking/, likewise.
TRACKING = ("backends", "publishing", "mlflow", "")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
INSPECTED = [name for name in MODULES if name != "boston_exp"]


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path.name} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                name = full if full in MODULES else node.module
                if name in MODULES and name != "boston_exp":
                    yield name
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


GRAPH = {name: set(imported(path)) - {name} for name, path in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", INSPECTED)
def test_imports_point_down(module: str) -> None:
    for other in GRAPH[module]:
        assert room(other) == room(module) or LEVEL[room(other)] < LEVEL[room(module)], f"{module} imports {other}"


@pytest.mark.parametrize("module", [name for name in INSPECTED if room(name) == "tracking"])
def test_imports_point_down_inside_of_tracking(module: str) -> None:
    def place(name: str) -> int:
        parts = name.split(".")[2:3]
        return TRACKING.index(parts[0] if parts and parts[0] in TRACKING else "")

    for other in GRAPH[module]:
        if room(other) == "tracking":
            assert place(other) >= place(module), f"{module} imports {other}"


@pytest.mark.parametrize("module", INSPECTED)
def test_no_module_imports_itself_by_way_of_others(module: str) -> None:
    seen: set[str] = set()
    todo = list(GRAPH[module])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += GRAPH[name]
    assert module not in seen


def private(path: Path) -> Iterator[str]:
    """Private names of other packages: imported, or taken from a module, a class or an object that is not `self`."""
    tree = ast.parse(path.read_text())
    own = {
        *(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)),
        *(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_self(node.value)),
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("boston_exp"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (f"{node.module}: {name}" for name in names if hidden(name))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if any(map(hidden, alias.name.split("."))))
        elif isinstance(node, ast.Attribute) and hidden(node.attr) and not is_self(node.value) and node.attr not in own:
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            yield from (name for name in names if hidden(name))


def hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


ALLOWED = {
    "os._exit",  # public in spite of its name: https://docs.python.org/3/library/os.html#os._exit
}
CONFIGURATION = {"_target_"}  # a key of Hydra's YAML


@pytest.mark.parametrize("module", INSPECTED)
def test_private_names_of_libraries_are_in_compat_alone(module: str) -> None:
    path = MODULES[module]
    found = [name for name in private(path) if name not in ALLOWED and not name.endswith(tuple(CONFIGURATION))]
    assert path.name == "compat.py" or found == []


@pytest.mark.parametrize("module", list(MODULES))
def test_a_module_says_what_it_knows_and_is_at_most_250_lines(module: str) -> None:
    text = MODULES[module].read_text()
    assert module == "boston_exp" or ast.get_docstring(ast.parse(text)), "a module opens with its purpose"
    assert len(text.splitlines()) <= 250


@pytest.mark.parametrize("command", ROOMS[0])
def test_a_command_is_at_most_60_lines(command: str) -> None:
    assert len((PACKAGE / f"{command}.py").read_text().splitlines()) <= 60


def test_no_module_is_named_for_nothing() -> None:
    assert not {path.stem for path in MODULES.values()} & {"utils", "helpers", "common", "misc"}


def test_every_room_has_its_level() -> None:
    assert {room(name) for name in INSPECTED} == set(LEVEL)
