"""The house as ARCHITECTURE.md draws it: imports go down, and nothing speaks to a network."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inhabit

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "inhabit"


def _floors() -> dict[str, int]:
    """Module -> floor, in the order of ARCHITECTURE.md's table; modules of one row share it."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text.split("### Python modules, lowest floor first")[1].split("### ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, flags=re.MULTILINE)
    return {
        name: floor for floor, row in enumerate(rows) for name in re.findall(r"`([a-z_]+)`", row)
    }


def _imports() -> list[tuple[str, str, str]]:
    """(module, imported module, where) for every import inside the package, lazy ones included."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if module in {"__init__", "__main__"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "inhabit" and len(parts) > 1 and parts[1] != module:
                    found.append((module, parts[1], f"{path.relative_to(ROOT)}:{node.lineno}"))
    return found


def test_every_module_has_its_place():
    """The table in ARCHITECTURE.md names every module of the package, and no other."""
    there = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    there -= {"__init__", "__main__", "__pycache__", "py", "_native.abi3"}
    modules = {name for name in there if re.fullmatch(r"[a-z_]+", name)}
    modules = {m for m in modules if (PACKAGE / f"{m}.py").exists() or (PACKAGE / m).is_dir()}
    assert modules | {"_native"} == set(_floors())


def test_imports_go_down():
    """A module imports only from lower floors (or its own row)."""
    floors = _floors()
    upward = [
        f"{where}: {module} imports {imported}"
        for module, imported, where in _imports()
        if imported in floors and floors[imported] > floors[module]
    ]
    assert not upward, "\n".join(upward)


def test_imports_have_no_circles():
    """Modules of one row may know each other, but not in a circle."""
    arrows: dict[str, set[str]] = {}
    for module, imported, _ in _imports():
        arrows.setdefault(module, set()).add(imported)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for below in arrows.get(module, ()):
                visit(below, (*path, module))
            done.add(module)

    for module in list(arrows):
        visit(module, ())


def test_nothing_can_speak_to_a_network():
    """Neither the package nor anything it imports for daily use has loaded a socket."""
    program = (
        "import sys, inhabit, inhabit.personalizer, inhabit.cli\n"
        "print(*{'socket', 'ssl', 'http.client', 'urllib.request', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("forbidden", ["socket", "http", "urllib", "ssl", "asyncio", "requests"])
def test_no_module_imports_network_code(forbidden):
    """No import of network code anywhere in the package; D-Bus, in `device`, is a local socket."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            assert forbidden not in {name.split(".")[0] for name in names}, path


def test_a_network_is_trained_with_nothing_else_imported():
    """Names are loaded when they are used, so that a first training does not wait for the rest."""
    program = (
        "import sys, numpy; before = set(sys.modules)\n"
        "from inhabit import Network, train\n"
        "train(Network(), numpy.zeros((3, 10), numpy.float32), numpy.zeros(3, numpy.float32))\n"
        "print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"inhabit", "inhabit._native"}


def test_every_public_name_is_there():
    """What `__all__` promises can be had, and is what `dir` lists."""
    assert dir(inhabit) == sorted(inhabit.__all__)
    for name in inhabit.__all__:
        assert getattr(inhabit, name) is not None
