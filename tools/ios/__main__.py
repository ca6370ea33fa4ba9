"""The iOS library from the command line: ``python tools/ios COMMAND``.

``check``        build for all targets, check archives and header, run the C tests, execute the
                 archives, print a table, build again elsewhere and compare
``xcframework``  build the Apple targets and assemble build/Inhabit.xcframework
``reproducible`` build twice from clean trees in different folders and compare the bytes
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from build import APPLE, BUILD, ROOT, build_all, build_library, host_library
from check import TEXT_BOUND, check_library, linked_text_size
from header import check_header, declared_functions
from scenario import Figures, HostLibrary, MachineLibrary, run
from sysroot import SysrootError, Toolchain, find_toolchain
from tools import Tools
from xcframework import assemble

BUDGETS = Path(__file__).with_name("budgets.json")


def check(toolchain: Toolchain) -> None:
    """Build, check and execute everything."""
    tools = Tools(BUILD, toolchain)
    say(f"rustc {toolchain.version}: libraries")
    libraries = build_all(toolchain)
    functions = declared_functions()
    say(f"header: {len(functions)} functions against Rust, C99 to C++20, three clang modules")
    check_header(tools, BUILD / "header")
    say("C99: golden vectors, and ten thousand broken inputs under AddressSanitizer")
    subprocess.run([str(ROOT / "tests/c/run.sh")], check=True)
    rows = []
    for apple in APPLE:
        archive = libraries[apple.target]
        say(f"{apple.target}: archive, link, execution")
        check_library(archive, apple.target, functions)
        size = linked_text_size(tools, archive, apple.target, BUILD / "linked")
        if size > TEXT_BOUND:
            raise AssertionError(f"{apple.target}: {size} bytes of code, more than {TEXT_BOUND}")
        rows.append((apple.target, size, run(MachineLibrary(archive, functions))))
    rows.append(("this machine, C", 0, run(HostLibrary(host_library(toolchain)))))
    rows.append(("this machine, wheel", 0, _wheel()))
    _print_table(rows)
    hashes = {(figures.weights, figures.generation) for _, _, figures in rows}
    if len(hashes) != 1:
        raise AssertionError("the hashes differ")
    _check_budget(toolchain, rows[0][2])
    reproducible(toolchain)
    others = [target for target in libraries if target not in {apple.target for apple in APPLE}]
    say(f"also built, not executed: {', '.join(others)}")


def xcframework(toolchain: Toolchain) -> None:
    """Build the Apple targets and put them into one bundle."""
    functions = declared_functions()
    libraries = {apple.target: build_library(toolchain, apple.target) for apple in APPLE}
    for target, archive in libraries.items():
        check_library(archive, target, functions)
    out = assemble(libraries, ROOT / "build/Inhabit.xcframework")
    say(
        f"{out.relative_to(ROOT)}: {', '.join(sorted(p.name for p in out.iterdir() if p.is_dir()))}"
    )
    say("unsigned; not checked with Xcode")


def reproducible(toolchain: Toolchain) -> None:
    """Build the committed sources in two other folders; the archives must have the same bytes."""
    digests = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "another"):
            root = Path(folder) / name
            root.mkdir()
            archive = subprocess.run(
                ["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True
            )
            subprocess.run(["tar", "-x"], cwd=root, input=archive.stdout, check=True)
            shutil.rmtree(BUILD / f"build-{name}", ignore_errors=True)
            library = build_library(toolchain, APPLE[0].target, root=root)
            digests.append(hashlib.sha256(library.read_bytes()).hexdigest())
            say(f"{APPLE[0].target} built in folder {name!r}: {digests[-1]}")
    if digests[0] != digests[1]:
        raise AssertionError("two builds of the same sources differ")


def _wheel() -> Figures:
    """The same training and the same model by the Python package."""
    sys.path.insert(0, str(ROOT / "tests/vectors"))
    import make_core  # noqa: PLC0415 - needs the package, which only this row does

    files = make_core.files()
    for name, data in files.items():
        if data != (make_core.FOLDER / name).read_bytes():
            raise AssertionError(f"tests/vectors/{name} is not what the wheel makes now")
    tensors, _ = make_core.checkpoint_decode(files["core.safetensors"])
    weights = hashlib.sha256(tensors["training.adam.parameters"].tobytes()).hexdigest()
    return Figures(0, 0, 0, weights, hashlib.sha256(files["generation.safetensors"]).hexdigest())


def _print_table(rows: list[tuple[str, int, Figures]]) -> None:
    heads = ("target", "text", "predict", "epoch", "model predict", "weights", "generation")
    widths = ("<24", ">10", ">9", ">10", ">15", "<14", "<14")

    def line(*cells: str) -> str:
        columns = zip(cells, widths, strict=True)
        return "  ".join(f"{cell:{width}}" for cell, width in columns).rstrip()

    print()
    print(line(*heads))
    for target, size, figures in rows:
        counts = (size, figures.predict, figures.epoch, figures.model_predict)
        words = (f"{count:,}" if count else "-" for count in counts)
        print(line(target, *words, figures.weights[:12], figures.generation[:12]))
    print("text: bytes of linked machine code. Instructions: for a prediction of 10-16-8-1, for an")
    print(
        "epoch of 199 samples in batches of 32, for a prediction of a model. SHA-256 of the trained"
    )
    print("weights and of a saved model.\n")


def _check_budget(toolchain: Toolchain, figures: Figures) -> None:
    """Hold the instruction counts of iOS below the bound for this compiler."""
    budgets = json.loads(BUDGETS.read_text())
    budget = budgets.get(toolchain.version)
    if budget is None:
        say(f"no instruction budget for rustc {toolchain.version}; known: {', '.join(budgets)}")
        return
    for name, bound in budget.items():
        if getattr(figures, name) > bound:
            raise AssertionError(
                f"{name}: {getattr(figures, name):,} instructions, budget {bound:,}"
            )
    say(f"instruction budget of rustc {toolchain.version} is kept: {budget}")


def say(text: str) -> None:
    """One line of progress."""
    print(f"ios: {text}", flush=True)


COMMANDS: dict[str, Callable[[Toolchain], None]] = {
    "check": check,
    "xcframework": xcframework,
    "reproducible": reproducible,
}


def main() -> int:
    """Run one command; 0 if all is well."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print(__doc__)
        return 2
    try:
        targets = [apple.target for apple in APPLE]
        COMMANDS[sys.argv[1]](find_toolchain(BUILD, targets))
    except (AssertionError, SysrootError) as error:
        print(f"ios: FAILED: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        words = error.stderr if isinstance(error.stderr, str) else ""
        print(f"ios: FAILED: {' '.join(map(str, error.cmd))}\n{words}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
