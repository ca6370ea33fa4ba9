"""Instruction counts of the kernels: exact on a noisy machine, so growth is seen at once.

The record holds counts per compiler. Under the same compiler a kernel may not grow by more than
2 %; after a deliberate change, or with a new compiler, ``python benches/test_instructions.py``
rewrites it. Valgrind knows AVX2 and not AVX-512.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benches" / "instructions.json"
KERNELS = ["predict", "predict_many", "train_adam", "train_sgd", "explain"]
PATHS = ["avx2", "portable"]
MOST_GROWTH = 1.02

can_count = shutil.which("valgrind") is not None and platform.machine() == "x86_64"


def compiler() -> str:
    """Return the compiler that the counts belong to."""
    return subprocess.run(
        ["rustc", "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()


def build() -> Path:
    """Build the program that does the work; return its path."""
    command = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "inhabit-core"]
    subprocess.run([*command, "--example", "instructions"], check=True, cwd=ROOT)
    return ROOT / "target" / "release" / "examples" / "instructions"


def count(program: Path, kernel: str, path: str) -> int:
    """Return how many instructions a kernel takes."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += ["--toggle-collect=*counted*work*", str(program), kernel, path]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(re.findall(r"Collected : (\d+)", run.stderr)[-1])


@pytest.fixture(scope="module")
def program() -> Path:
    return build()


@pytest.mark.skipif(not can_count, reason="valgrind counts the instructions, on x86-64")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_does_not_grow(program, kernel, path):
    record = json.loads(RECORD.read_text()).get(compiler())
    counted = count(program, kernel, path)
    assert counted > 100
    if record is not None:  # another compiler generates other code: nothing to compare with
        assert counted <= record[path][kernel] * MOST_GROWTH


def main() -> None:
    """Count everything and write it on record."""
    program = build()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[compiler()] = {p: {k: count(program, k, p) for k in KERNELS} for p in PATHS}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record[compiler()], indent=2))


if __name__ == "__main__":
    sys.exit(main())
