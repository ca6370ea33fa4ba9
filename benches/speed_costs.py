"""What is not timed side by side, for `rivals.py`: fresh processes, weight, instructions."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rival
from speed_report import verdict

if TYPE_CHECKING:
    from speed_report import Report

HERE = Path(__file__).resolve().parent
BUDGETS = HERE.parent / "tools" / "ios" / "budgets.json"
RUNS = {"inhabit": 9, "numpy": 9}  # three of the others, which take seconds
BARS = {"numba": 500, "jax": 500, "torch": 1000}

FIRST_TRAINING = """
from time import perf_counter
start = perf_counter()
import numpy as np
X = (np.arange(3650, dtype=np.float32) * 0.618 % 1).reshape(365, 10)
y = (X[:, 0] > 0.5).astype(np.float32)
order = np.tile(np.arange(365, dtype=np.uint32), (20, 1))
prepared = perf_counter()
{load}
loaded = perf_counter()
{train}
print(prepared - start, loaded - prepared, perf_counter() - loaded)
"""
OURS = {"load": "from inhabit import Network, train", "train": "train(Network(), X, y)"}
THEIRS = {
    "load": "from rival import Task\nfrom {module} import training",
    "train": "task = Task(np.full(321, 0.1, np.float32), X, y, order, 'adam', 1e-3)\n"
    "next(iter(training(task).values()))()",
}

IMPORT = """
from time import perf_counter
start = perf_counter()
import {module}
print(perf_counter() - start)
"""

MEMORY = """
import os, numpy, inhabit._native as native
X = numpy.zeros((365, 10), numpy.float32)
y = X[:, 0].copy()
def kib():
    pages = open('/proc/self/statm').read().split()[1]
    return int(pages) * os.sysconf('SC_PAGE_SIZE') // 1024
before = kib()
network = native.Network()
network.predict(X[0])
native.train(network, X, y)
print(kib() - before)
"""


def figures(code: str, runs: int) -> list[float]:
    """Return the medians of what a program prints, over fresh processes.

    One process goes before them, so that files are in memory and modules compiled to bytecode, as
    an installer leaves them.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    printed = []
    for _ in range(1 + runs):
        run = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=HERE,
            env=environment,
        )
        printed.append([float(word) for word in run.stdout.split()])
    return [statistics.median(column) for column in zip(*printed[1:], strict=True)]


def first_training(report: Report) -> None:
    """Print the time from the start of a process to the first trained network."""
    without, counted, loading = {}, {}, {}
    steps = {"inhabit": OURS}
    for package, module in rival.available().items():
        if package not in {"onnxruntime", "river"}:  # no training; another model
            steps[package] = {key: line.format(module=module) for key, line in THEIRS.items()}
    for name, lines in steps.items():
        program = FIRST_TRAINING.format(**lines)
        numpy, load, train = figures(program, RUNS.get(name, 3))
        without[name], counted[name] = load + train, numpy + load + train
        loading[name] = load
    title = "First training of a fresh process, import and compilation counted"
    report.show(f"{title}, numpy's import not", "ms", without, BARS)
    parts = ", ".join(f"{name} {seconds * 1e3:,.1f}" for name, seconds in loading.items())
    report.say(f"\nOf these, milliseconds before the training begins: {parts}.")
    report.show(f"{title}, numpy's too", "ms", counted, {})


def weight(report: Report) -> None:
    """Print size, import and memory of the package."""
    import inhabit._native as native

    report.say("\n### Weight\n")
    size = Path(native.__file__).stat().st_size / 1e6
    report.say(f"- extension: {size:.2f} MB (at most 1.5 MB stripped: {verdict(size <= 1.5)})")
    ours, numpy = (figures(IMPORT.format(module=name), 9)[0] for name in ("inhabit", "numpy"))
    report.say(
        f"- import inhabit: {ours * 1e3:.1f} ms, import numpy: {numpy * 1e3:.0f} ms "
        f"({ours / numpy:.2f} x, at most 1.3 x: {verdict(ours <= 1.3 * numpy)})"
    )
    if Path("/proc/self/statm").exists():
        kib = figures(MEMORY, 3)[0]
        report.say(
            f"- one network, trained: {kib:.0f} KiB resident beside the import "
            f"(under 1 MiB: {verdict(kib < 1024)})"
        )


def instructions(report: Report) -> None:
    """Print the instruction counts that tests hold, from their records."""
    compiler, kernels = list(json.loads((HERE / "instructions.json").read_text()).items())[-1]
    release, ios = list(json.loads(BUDGETS.read_text()).items())[-1]
    report.say("\n### Instructions\n")
    report.say("| | prediction | epoch, per sample |")
    report.say("|---|---:|---:|")
    for path, counts in kernels.items():
        epoch = counts["train_adam"] / (20 * 365)
        report.say(f"| x86-64, {path} | {counts['predict']:,} | {epoch:,.0f} |")
    epoch = ios["epoch"] / 199
    report.say(f"| iOS library, arm64, at most | {ios['predict']:,} | {epoch:,.0f} |")
    report.say(
        f"\nOf {compiler.split(' (')[0]} (`instructions.json`; 2 % more fails a test) and rustc "
        f"{release} (`tools/ios/budgets.json`;\nexecuted in an emulator; the C call included)."
    )
