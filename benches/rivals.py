"""Speed: this package, its rivals and the limit of the machine, side by side in one run.

Every row of a table was measured in interleaved rounds, so that a busy machine slows all of them;
figures are medians, and only the ratios mean anything elsewhere. The limit is `limit.c`: the same
arithmetic by hand in C, whose results must have the same bits.

    python benches/rivals.py                 # print the tables
    python benches/rivals.py --write         # and keep them in benches/speed.md
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import inhabit._native as native
import live
import rival
import speed_costs
from inhabit._native import (
    ModelConfig,
    Network,
    TrainingConfig,
    train,
    train_many,
    walk_forward,
    walk_forward_many,
)
from rival import limit as limit_of_the_machine
from speed_report import Case, Report, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
CORES = os.cpu_count() or 1
ROWS, EPOCHS, RATE = 365, 20, 1e-3
DAILY = ModelConfig(retrain_every=1)

# What this project holds itself to: how many times slower a row must at least be than the first.
BARS = {
    "one": {"limit": 1 / 2.0, "numba": 3.5, "ai-edge-litert": 15, "numpy": 50, "onnxruntime": 65}
    | {"torch": 150, "jax": 150, "scikit-learn": 1200},
    "one from a list": {"limit": 1 / 1.8},
    "many": {"limit": 0.85, "ai-edge-litert": 2.8, "onnxruntime": 3.5, "numpy": 4.5},
    "training": {"limit": 1 / 1.25, "numba": 8, "jax": 8, "ai-edge-litert": 25, "numpy": 40}
    | {"scikit-learn": 200, "torch": 300},
    "people": {"limit": 1 / 1.25, "one core": 1.8, "scikit-learn": 300}
    | {"numba": 9, "torch": 9, "jax": 9},
    "price": {"fast-math": 1 / 1.10},
    "reasons": {"predict_many": 1 / 2.0},
    "year": {"one training": 1 / 100},
    "years": {"one core": 1.8},
}
THE_LIMIT = "limit: C"
RIVAL_PEOPLE = 1000  # rivals train that many; theirs are figures per person too


class Bench:
    """The data, the network and the limit that the tables share."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.X = rng.random((ROWS, 10), np.float32)
        self.y = (rng.random(ROWS) < self.X[:, 0]).astype(np.float32)
        self.order = np.tile(np.arange(ROWS, dtype=np.uint32), (EPOCHS, 1))
        self.network = Network(seed=1)
        self.learner = self.network.copy()  # the one that is trained
        self.start = self.network.parameters
        self.limit = limit_of_the_machine.load()
        if self.limit:
            self.limit.set(self.start)

    def one_core(self) -> Iterator[Table]:
        """Tables of one thread."""
        yield self.one()
        yield self.one_from_a_list()
        yield self.many()
        yield self.reasons()
        yield self.training("adam")
        yield self.training("sgd")
        if self.limit:
            yield self.price("adam")
            yield self.price("sgd")
        yield self.year()

    def all_cores(self, people: int) -> Iterator[Table]:
        """Tables of many people."""
        yield self.people(people, "adam")
        yield self.people(people, "sgd")
        yield self.years(min(people, 500))

    def one(self) -> Table:
        predict, x = self.network.predict, self.X[0].copy()
        cases = [Case("inhabit", "f(x)", [{"f": f, "x": x} for f in self.elsewhere()])]
        if self.limit:
            assert self.limit.predict(x) == predict(x)
            cases.append(Case(THE_LIMIT, "f(x)", {"f": self.limit.predict, "x": x}))
        for name, function in rival.do("single", self.start).items():
            if not name.endswith(rival.ANOTHER_MODEL):
                np.testing.assert_allclose(np.ravel(function(x))[-1], predict(x), atol=1e-4)
            cases.append(Case(name, "f(x)", {"f": function, "x": x}))
        return Table("One prediction, from a float32 array", "ns", cases, BARS["one"])

    def elsewhere(self) -> list[Callable]:
        """Return `predict` of networks with the same weights in other places of the memory.

        Where weights have the same physical address modulo 2^20 as what Python writes between two
        predictions, one waits for the other: about one network in a hundred takes 90 ns, not 53.
        """
        return [Network(seed=1).predict for _ in range(15)]

    def one_from_a_list(self) -> Table:
        x, predictions = self.X[0].tolist(), self.elsewhere()
        cases = [Case("inhabit", "f(x)", [{"f": f, "x": x} for f in predictions])]
        turns = [{"f": f, "x": tuple(x)} for f in predictions]
        cases.append(Case("inhabit, tuple", "f(x)", turns))
        if self.limit:
            cases.append(Case(THE_LIMIT, "f(x)", {"f": self.limit.predict_list, "x": x}))
        return Table("One prediction, from a list", "ns", cases, BARS["one from a list"])

    def many(self) -> Table:
        X = np.random.default_rng(1).random((100_000, 10), np.float32)
        predict, out = self.network.predict_many, np.empty(100_000, np.float32)
        expected = predict(X)
        cases = [Case("inhabit", "f(X)", {"f": predict, "X": X})]
        cases.append(Case("inhabit, out=", lambda: predict(X, out=out)))
        if self.limit:
            self.limit.predict_many(X, out)
            assert same_bits(out, expected)
            cases.append(Case(THE_LIMIT, lambda: self.limit.predict_many(X, out)))
        for name, function in rival.do("many", self.start).items():
            np.testing.assert_allclose(np.ravel(function(X)), expected, atol=1e-4, err_msg=name)
            cases.append(Case(name, "f(X)", {"f": function, "X": X}))
        return Table("100,000 predictions, one core", "us", cases, BARS["many"])

    def reasons(self) -> Table:
        """Exact Shapley values beside the predictions they are made of."""
        background = self.X[1:101].copy()
        rows = np.random.default_rng(3).random((102_400, 10), np.float32)
        cases = [
            Case("inhabit", lambda: self.network.explain(self.X[0], background)),
            Case("predict_many, 102,400 rows", lambda: self.network.predict_many(rows)),
        ]
        title = "Exact reasons, 10 inputs, 100 background rows, one core"
        return Table(title, "us", cases, BARS["reasons"])

    def train(self, config: TrainingConfig) -> np.ndarray:
        """Train from the start; return the parameters."""
        self.learner.parameters = self.start
        return train(self.learner, self.X, self.y, config).parameters

    def by_hand(self, limit, optimizer: str) -> np.ndarray:
        """Train from the start by the limit; return the parameters."""
        flat = self.start.copy()
        limit.train(flat, self.X, self.y, self.order, int(optimizer == "adam"), RATE)
        return flat

    def price(self, optimizer: str) -> Table:
        """What the same bits everywhere cost, in C: the compiler's fast-math beside it."""
        fast = limit_of_the_machine.load(limit_of_the_machine.FAST_MATH)
        exact = self.by_hand(self.limit, optimizer)
        np.testing.assert_allclose(self.by_hand(fast, optimizer), exact, atol=1e-4)
        cases = [
            Case("the same bits", lambda: self.by_hand(self.limit, optimizer)),
            Case("fast-math", lambda: self.by_hand(fast, optimizer)),
        ]
        return Table(f"The price of the same bits, {optimizer}", "us", cases, BARS["price"])

    def training(self, optimizer: str) -> Table:
        config = TrainingConfig(optimizer, RATE)
        plain = config.replace(shuffle=False)
        expected = self.train(plain)
        cases = [Case("inhabit", lambda: self.train(config))]
        cases.append(Case("inhabit, without shuffling", lambda: self.train(plain)))
        if self.limit:
            assert same_bits(self.by_hand(self.limit, optimizer), expected)
            by_hand = lambda: self.by_hand(self.limit, optimizer)  # noqa: E731
            cases.append(Case(f"{THE_LIMIT}, without shuffling", by_hand))
        task = rival.Task(self.start, self.X, self.y, self.order, optimizer, RATE)
        for name, function in rival.do("training", task).items():
            result = function()
            if result is not None:
                np.testing.assert_allclose(result, expected, atol=2e-3, err_msg=name)
            cases.append(Case(name, function))
        title = f"Training, {ROWS} rows, {EPOCHS} epochs, batches of {rival.BATCH}, {optimizer}"
        return Table(title, "us", cases, BARS["training"])

    def year(self) -> Table:
        """A person's year: predict each day, learn, retrain each day from the last parameters."""
        history = year_of(self.X, self.y)
        cases = [
            Case("inhabit", lambda: walk_forward(*history, DAILY)),
            Case("one training of 20 epochs", lambda: self.train(TrainingConfig())),
        ]
        title = "Walk-forward year: 365 predictions, a retraining after each outcome"
        return Table(title, "ms", cases, BARS["year"])

    def years(self, count: int) -> Table:
        """The years of many people."""
        rng = np.random.default_rng(4)
        histories = []
        for _ in range(count):
            X = rng.random((ROWS, 10), np.float32)
            histories.append(year_of(X, rng.random(ROWS) < X[:, 0]))
        cases = [
            Case("inhabit", lambda: walk_forward_many(histories, DAILY), scale=count),
            Case("one core", lambda: walk_forward_many(histories, DAILY, workers=1), scale=count),
        ]
        title = f"Walk-forward years of {count} people, {CORES} cores, per person"
        return Table(title, "ms", cases, BARS["years"])

    def people(self, count: int, optimizer: str) -> Table:
        """Many people, the same training each."""
        rng = np.random.default_rng(2)
        X = rng.random((count, ROWS, 10), np.float32)
        y = (rng.random((count, ROWS)) < X[:, :, 0]).astype(np.float32)
        data = list(zip(X, y, strict=True))
        config = TrainingConfig(optimizer, RATE)

        def ours(workers: int | None = None) -> np.ndarray:
            return train_many(self.network, data, config, workers=workers)

        cases = [Case("inhabit", ours, scale=count)]
        cases.append(Case("one core", lambda: ours(1), scale=count))
        if self.limit:
            lanes, adam = self.limit.LANES, int(optimizer == "adam")

            def by_hand(threads: int = CORES) -> np.ndarray:
                flat = np.tile(self.start, (count, 1))
                bounds = [count // lanes * k // threads * lanes for k in range(threads + 1)]

                def work(k: int) -> None:
                    part = slice(bounds[k], bounds[k + 1])
                    self.limit.train_people(flat[part], X[part], y[part], self.order, adam, RATE)

                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(work, range(threads)))
                return flat

            whole = count // lanes * lanes  # the limit trains whole groups
            expected = train_many(self.network, data[:whole], config.replace(shuffle=False))
            assert same_bits(by_hand()[:whole], expected)
            cases.append(Case(f"{THE_LIMIT}, lanes = persons", by_hand, scale=whole))
            cases.append(Case("the limit on one core", lambda: by_hand(1), scale=whole))
        some = slice(RIVAL_PEOPLE)
        task = rival.Task(self.start, X[some], y[some], self.order, optimizer, RATE)
        for name, (function, trained) in rival.do("people", task).items():
            cases.append(Case(f"{name}, {trained:,} people", function, scale=trained))
        title = f"{count:,} people, {optimizer}, {CORES} cores, per person"
        return Table(title, "us", cases, BARS["people"])


def year_of(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return a history: one slot a day, each outcome known before the next prediction."""
    learn_at = np.arange(1, len(X) + 1, dtype=np.uint32)
    return X, y.astype(np.int8), np.zeros(len(X), np.uint8), learn_at


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


def on_one_core(report: Report, rounds: int) -> None:
    """Run the tables of one thread in a process that has one core."""
    command = [sys.executable, __file__, "--one-core", "--rounds", str(rounds)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in run.stdout.splitlines():
        report.say(line)


def from_sqlite(report: Report) -> None:
    """Print the live path as the log grows, in milliseconds."""
    report.say("\n### `Personalizer`, from SQLite to probability, ms by events in the log\n")
    for line in live.table(live.SIZES):
        report.say(line)


def header(report: Report, limit) -> None:
    """Print what was measured, where and with which command."""
    command = "python benches/rivals.py " + " ".join(sys.argv[1:])
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    there = {package: version(package) for package in rival.available()}
    missing = [package for package in rival.RIVALS if package not in there]
    lanes = f"limit.c with {limit.LANES} lanes" if limit else "limit.c not built"
    report.say("# Speed\n")
    report.say(f"`{command.strip()}`, {datetime.now(UTC):%Y-%m-%d}, {model},")
    report.say(f"{CORES} cores, {platform.system()}, Python {platform.python_version()},")
    report.say(f"inhabit {native.__version__}, {lanes}.")
    report.say(f"Rivals: {', '.join(f'{name} {number}' for name, number in there.items())}.")
    if missing:
        report.say(f"Not installed, so not measured: {', '.join(missing)}.")
    report.say("Medians of interleaved rounds; a bar is what this project holds itself to.")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        report.say(f"The machine was busy with other work (load {load:.1f}).")


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--people", type=int, default=1024, help="people of the population table")
    parser.add_argument("--write", action="store_true", help="keep the tables in benches/speed.md")
    parser.add_argument("--one-core", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    report = Report()
    if arguments.one_core:
        if hasattr(os, "sched_setaffinity"):  # before any pool of threads has been made
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        for table in Bench().one_core():
            report.run(table, arguments.rounds)
        return
    started = time.perf_counter()
    bench = Bench()
    header(report, bench.limit)
    on_one_core(report, arguments.rounds)
    for table in bench.all_cores(arguments.people):
        report.run(table, max(3, arguments.rounds // 3))
    from_sqlite(report)
    speed_costs.first_training(report)
    speed_costs.weight(report)
    speed_costs.instructions(report)
    print(f"\n{time.perf_counter() - started:.0f} s")
    if arguments.write:
        (HERE / "speed.md").write_text("\n".join(report.lines) + "\n")


if __name__ == "__main__":
    main()
