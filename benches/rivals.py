"""Speed: this package, its rivals and the limit of the machine, side by side in one run.

Every row of a table was measured in interleaved rounds, so that a busy machine slows all of them;
figures are medians, and only the ratios mean anything elsewhere. The limit is `limit.c`: the same
arithmetic by hand in C, whose results must have the same bits.

    python benches/rivals.py                 # print the tables
    python benches/rivals.py --write         # and keep them in benches/speed.md
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None

import inhabit._native as native
import rival_trainers as rivals
from inhabit._native import Network, TrainingConfig, train, train_many

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = [
    "numpy",
    "numba",
    "scikit-learn",
    "torch",
    "jax",
    "onnxruntime",
    "ai-edge-litert",
    "river",
]
if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, EPOCHS, BATCH, RATE = 365, 20, 32, 1e-3
TRIES = 8  # at a timing that nobody interrupted


class Case(NamedTuple):
    """A statement to time."""

    name: str
    statement: str | Callable[[], object]
    names: dict
    scale: float = 1.0  # divides the time: people, rows


def measure(cases: list[Case], rounds: int, at_least_s: float = 0.003) -> dict[str, float]:
    """Return the median seconds of each case over interleaved rounds."""
    timers, numbers = [], []
    for case in cases:
        timer = timeit.Timer(case.statement, globals=case.names)
        timer.timeit(1)  # warm: compiles, caches
        once = min(timer.timeit(1) for _ in range(2))
        timers.append(timer)
        numbers.append(max(1, math.ceil(at_least_s / max(once, 1e-8))))
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case, timer, number in zip(cases, timers, numbers, strict=True):
            for _ in range(TRIES):
                before = preemptions()
                seconds = timer.timeit(number)
                if preemptions() == before:
                    break
            times[case.name].append(seconds / number / case.scale)
    return {name: statistics.median(values) for name, values in times.items()}


def preemptions() -> int:
    """Return how often the scheduler took the processor from this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


class Report:
    """Prints tables, and keeps them as Markdown."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str = "") -> None:
        print(text, flush=True)
        self.lines.append(text)

    def table(self, title: str, unit: str, times: dict[str, float], limit: str, bars: dict) -> None:
        """Print times with their ratios to this package and to the limit."""
        factor = {"ns": 1e9, "us": 1e6, "ms": 1e3}[unit]
        self.say(f"\n### {title}\n")
        self.say(f"| | {unit} | x inhabit | bar |")
        self.say("|---|---:|---:|---|")
        ours = times["inhabit"]
        for name, seconds in times.items():
            ratio = seconds / ours
            bar = ""
            if name in bars:
                wanted = bars[name]
                if name.startswith(limit):
                    holds, text = ours <= wanted * seconds, f"inhabit at most {wanted:g} x this"
                    text += f": {ours / seconds:.2f} x"
                else:
                    holds, text = ratio >= wanted, f"at least {wanted:g} x"
                bar = f"{text}, {'holds' if holds else 'MISSED'}"
            self.say(f"| {name} | {seconds * factor:,.4g} | {ratio:,.2f} | {bar} |")


def load_limit():
    """Build `limit.c` for this machine and import it; None without a C compiler or AVX2."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None or platform.machine() != "x86_64":
        return None
    target = ROOT / "target" / "limit"
    target.mkdir(parents=True, exist_ok=True)
    library = target / f"limit{sysconfig.get_config_var('EXT_SUFFIX')}"
    source = HERE / "limit.c"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        command = [compiler, "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno"]
        command += ["-shared", "-fPIC", f"-I{sysconfig.get_paths()['include']}"]
        command += [f"-I{np.get_include()}", str(source), "-lm", "-o", str(library)]
        if subprocess.run(command, check=False).returncode != 0:
            return None
    spec = importlib.util.spec_from_file_location("limit", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same_bits(a, b) -> bool:
    return np.array_equal(np.asarray(a).view(np.uint32), np.asarray(b).view(np.uint32))


def single(report, limit, network, X, rounds):
    """One prediction."""
    x, parameters = X[0].copy(), network.parameters
    items = x.tolist()
    cases = [Case("inhabit", "f(x)", {"f": network.predict, "x": x})]
    bars = {}
    if limit:
        limit.set(parameters)
        assert limit.predict(x) == network.predict(x)
        cases.append(Case("limit: C extension", "f(x)", {"f": limit.predict, "x": x}))
        bars["limit: C extension"] = 2.0
    wanted = {"numba": 3.5, "ai-edge-litert": 15, "numpy": 50, "onnxruntime": 65, "torch": 150}
    wanted |= {"jax": 150, "scikit-learn": 1200}
    for name, function in rivals.single(parameters).items():
        assert abs(float(np.asarray(function(x)).ravel()[-1]) - network.predict(x)) < 1e-4, name
        cases.append(Case(name, "f(x)", {"f": function, "x": x}))
        bars[name] = wanted[name.split()[0]]
    report.table(
        "One prediction, from a float32 array", "ns", measure(cases, rounds), "limit", bars
    )
    cases = [Case("inhabit", "f(x)", {"f": network.predict, "x": items})]
    cases.append(Case("inhabit, tuple", "f(x)", {"f": network.predict, "x": tuple(items)}))
    bars = {}
    if limit:
        cases.append(Case("limit: C extension", "f(x)", {"f": limit.predict_list, "x": items}))
        bars["limit: C extension"] = 1.8
    report.table("One prediction, from a list", "ns", measure(cases, rounds), "limit", bars)


def many(report, limit, network, rounds):
    """100,000 predictions."""
    X = np.random.default_rng(1).random((100_000, 10), np.float32)
    parameters = network.parameters
    out = np.empty(len(X), np.float32)
    cases = [Case("inhabit", "f(X)", {"f": network.predict_many, "X": X})]
    cases.append(Case("inhabit, out=", lambda: network.predict_many(X, out=out), {}))
    bars = {}
    if limit:
        limit.set(parameters)
        limit.predict_many(X, out)
        assert same_bits(out, network.predict_many(X))
        cases.append(Case("limit: C", lambda: limit.predict_many(X, out), {}))
        bars["limit: C"] = 1 / 0.85
    wanted = {"ai-edge-litert": 2.8, "onnxruntime": 3.5, "numpy": 4.5}
    for name, function in rivals.many(parameters).items():
        np.testing.assert_allclose(np.ravel(function(X)), network.predict_many(X), atol=1e-4)
        cases.append(Case(name, "f(X)", {"f": function, "X": X}))
        if name.split()[0] in wanted:
            bars[name] = wanted[name.split()[0]]
    report.table("100,000 predictions, one core", "us", measure(cases, rounds), "limit", bars)


def training(report, limit, network, X, y, rounds):
    """365 rows, 20 epochs, batches of 32."""
    start = network.parameters
    order = np.tile(np.arange(ROWS, dtype=np.uint32), (EPOCHS, 1))
    wanted = {
        "numba": 8,
        "jax": 8,
        "ai-edge-litert": 25,
        "numpy": 40,
        "scikit-learn": 200,
        "torch": 300,
    }
    for optimizer in ("adam", "sgd"):
        config = TrainingConfig(optimizer, RATE)
        plain = config.replace(shuffle=False)

        def run(config=config):
            network.parameters = start
            train(network, X, y, config)

        def by_hand(adam=int(optimizer == "adam")):
            flat = start.copy()
            limit.train(flat, X, y, order, adam, RATE)
            return flat

        cases = [Case("inhabit", run, {})]
        cases.append(Case("inhabit, without shuffling", lambda run=run, c=plain: run(c), {}))
        bars = {}
        if limit:
            run(plain)
            assert same_bits(by_hand(), network.parameters)
            cases.append(Case("limit: C, without shuffling", by_hand, {}))
            bars["limit: C, without shuffling"] = 1.25
        run(plain)
        for name, function in rivals.trainers(start, X, y, order, optimizer, RATE).items():
            result = function()
            if result is not None:
                np.testing.assert_allclose(result, network.parameters, atol=2e-3, err_msg=name)
            cases.append(Case(name, function, {}))
            bars[name] = wanted[name.split()[0]]
        title = f"Training, {ROWS} rows, {EPOCHS} epochs, batches of {BATCH}, {optimizer}"
        report.table(title, "us", measure(cases, rounds), "limit", bars)
    network.parameters = start


def population(report, limit, network, people, rounds):
    """Many people, the same training each."""
    cores = os.cpu_count() or 1
    rng = np.random.default_rng(2)
    X = rng.random((people, ROWS, 10), np.float32)
    y = (rng.random((people, ROWS)) < X[:, :, 0]).astype(np.float32)
    data = list(zip(X, y, strict=True))
    start = network.parameters
    order = np.tile(np.arange(ROWS, dtype=np.uint32), (EPOCHS, 1))
    for optimizer in ("adam", "sgd"):
        config = TrainingConfig(optimizer, RATE)

        def by_hand(adam=int(optimizer == "adam")):
            flat = np.tile(start, (people, 1))
            parts = np.array_split(np.arange(people), cores)

            def work(part):
                rows = slice(part[0], part[-1] + 1)
                limit.train_people(flat[rows], X[rows], y[rows], order, adam, RATE)

            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(work, parts))
            return flat

        ours = lambda config=config: train_many(network, data, config)  # noqa: E731
        cases = [Case("inhabit", ours, {}, people)]
        bars = {}
        if limit:
            assert same_bits(by_hand(), train_many(network, data, config.replace(shuffle=False)))
            cases.append(Case("limit: C, lanes = persons", by_hand, {}, people))
            bars["limit: C, lanes = persons"] = 1.25
        found = rivals.populations(start, X, y, order, optimizer, RATE)
        for name, (function, trained) in found.items():
            cases.append(Case(name, function, {}, trained))
            bars[name] = 300 if name.startswith("scikit") else 9
        title = f"{people} people, {optimizer}, {cores} cores, per person"
        report.table(title, "us", measure(cases, rounds), "limit", bars)


def reasons(report, network, X, rounds):
    """Exact Shapley values beside the predictions they are made of."""
    background = X[1:101].copy()
    rows = np.random.default_rng(3).random((102_400, 10), np.float32)
    cases = [
        Case("inhabit", lambda: network.explain(X[0], background), {}),
        Case("limit: predict_many, 102,400 rows", lambda: network.predict_many(rows), {}),
    ]
    bars = {"limit: predict_many, 102,400 rows": 2.0}
    title = "Exact reasons, 10 inputs, 100 background rows, one core"
    report.table(title, "us", measure(cases, rounds), "limit", bars)


def person_year(report, network, X, y, rounds):
    """A person's year: predict each day, learn, retrain each day from the last parameters."""
    config = native.ModelConfig(retrain_every=1)
    label, slot = y.astype(np.int8), np.zeros(len(X), np.uint8)
    learn_at = np.arange(1, len(X) + 1, dtype=np.uint32)
    start = network.parameters

    def once():
        network.parameters = start
        train(network, X, y, TrainingConfig())

    cases = [
        Case("inhabit", lambda: native.walk_forward(X, label, slot, learn_at, config), {}),
        Case("limit: one training of 20 epochs", once, {}),
    ]
    bars = {"limit: one training of 20 epochs": 100}
    title = "Walk-forward year: 365 predictions, a retraining after each outcome"
    report.table(title, "ms", measure(cases, rounds), "limit", bars)


def fresh_process(report):
    """From the start of a process to the first trained network."""

    def seconds(code: str, times: int, before: str = "") -> float:
        clock = "import time; t = time.perf_counter()\n"
        lines = before + clock + code + "\nprint(time.perf_counter() - t)"
        runs = []
        for _ in range(times):
            run = subprocess.run(
                [sys.executable, "-c", lines],
                check=True,
                capture_output=True,
                text=True,
                cwd=HERE,
            )
            runs.append(float(run.stdout.split()[-1]))
        return statistics.median(runs)

    prepare = "import numpy as np\nX = np.zeros((365, 10), np.float32); y = X[:, 0].copy()\n"
    ours = "from inhabit._native import Network, train\ntrain(Network(), X, y)"
    times = {"inhabit": seconds(ours, 9, prepare)}
    for name, code in rivals.FRESH.items():
        if rivals.available(name):
            times[name] = seconds(code, 3, prepare)
    bars = {"jax": 500, "numba": 500, "torch": 1000}
    title = "First training of a fresh process, import and compilation counted, numpy's import not"
    report.table(title, "ms", times, "limit", bars)

    report.say("\n### Weight\n")
    native_file = Path(native.__file__)
    size = native_file.stat().st_size / 1e6
    holds = "holds" if size <= 1.5 else "MISSED"
    report.say(f"- extension: {size:.2f} MB (at most 1.5 MB stripped: {holds})")
    only_numpy, both = seconds("import numpy", 9), seconds("import inhabit", 9)
    holds = "holds" if both <= 1.3 * only_numpy else "MISSED"
    report.say(
        f"- import inhabit: {both * 1e3:.0f} ms, import numpy: {only_numpy * 1e3:.0f} ms "
        f"({both / only_numpy:.2f} x, at most 1.3 x: {holds})"
    )
    if not Path("/proc/self/statm").exists():
        return
    memory = "import os, numpy, inhabit._native as n\nX = numpy.zeros((365, 10), numpy.float32)\n"
    memory += "def kib():\n    pages = open('/proc/self/statm').read().split()[1]\n"
    memory += "    return int(pages) * os.sysconf('SC_PAGE_SIZE') // 1024\n"
    memory += "y = X[:, 0].copy(); before = kib()\n"
    memory += "m = n.Network(); m.predict(X[0]); n.train(m, X, y)\nprint(kib() - before)"
    run = subprocess.run([sys.executable, "-c", memory], check=True, capture_output=True, text=True)
    kib = int(run.stdout)
    holds = "holds" if kib < 1024 else "MISSED"
    report.say(
        f"- one network, trained: {kib} KiB resident beside the import (under 1 MiB: {holds})"
    )


def on_one_core(report, rounds):
    """Run the tables of one core in a process whose pool has one thread."""
    command = [sys.executable, __file__, "--one-core", "--rounds", str(rounds)]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    for line in run.stdout.splitlines():
        report.say(line)


def machine() -> str:
    """Describe the machine in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--people", type=int, default=320, help="people of the population table")
    parser.add_argument("--write", action="store_true", help="keep the tables in benches/speed.md")
    parser.add_argument("--one-core", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    report = Report()
    limit = load_limit()
    network = Network(seed=1)
    rng = np.random.default_rng(0)
    X = rng.random((ROWS, 10), np.float32)
    y = (rng.random(ROWS) < X[:, 0]).astype(np.float32)
    if arguments.one_core:
        many(report, limit, network, arguments.rounds)
        reasons(report, network, X, arguments.rounds)
        return
    command = "python benches/rivals.py " + " ".join(sys.argv[1:])
    report.say("# Speed\n")
    report.say(f"`{command.strip()}`, {datetime.now(UTC):%Y-%m-%d}, {machine()},")
    present, missing = [], []
    for package in PACKAGES:
        try:
            present.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    lanes = f"limit.c with {limit.LANES} lanes" if limit else "limit.c not built"
    report.say(f"Python {platform.python_version()}, inhabit {native.__version__}, {lanes},")
    report.say(f"{', '.join(present)}. Not installed: {', '.join(missing) or 'none'}.")
    report.say("Medians of interleaved rounds; a bar is what this project holds itself to.")
    for name, why in rivals.NOT_MEASURED.items():
        report.say(f"Not measured: {name} ({why}).")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        report.say(f"The machine was busy with other work (load {load:.1f}).")

    started = time.perf_counter()
    single(report, limit, network, X, arguments.rounds)
    on_one_core(report, arguments.rounds)
    training(report, limit, network, X, y, arguments.rounds)
    population(report, limit, network, arguments.people, max(3, arguments.rounds // 3))
    person_year(report, network, X, y, max(3, arguments.rounds // 3))
    fresh_process(report)
    print(f"\n{time.perf_counter() - started:.0f} s")
    if arguments.write:
        (HERE / "speed.md").write_text("\n".join(report.lines) + "\n")


if __name__ == "__main__":
    main()
