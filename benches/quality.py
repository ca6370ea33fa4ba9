"""Quality of prediction on eight tasks of real people, beside the rivals. One command:

    python benches/quality.py --data ../shared/data

Per person, in time order: predict a step from that person's earlier steps and what is known
beforehand, then learn from it. Whatever was fitted on other people has not seen this person (five
folds by person) or, in the rows marked *foreign*, not even this person's data set. Probabilities
are clipped to [0.01, 0.99]; a person's first steps are not scored; intervals are bootstraps over
people. The rivals live in `quality_rivals`, their predictions are cached below ``build/quality``;
the rows of `inhabit` come from the package itself, from the same events that ``inhabit replay``
reads. Writes a table between the markers of ``benches/README.md``, every figure to
``build/quality/results.json``, and a plot to ``build/quality/quality.png``.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread per process; the processes are many

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import quality_metrics as metrics
import quality_report as report
import quality_rivals as rivals
from convert import TASKS, Step, Task, differences, read_rows
from quality_rivals import Array, Person

ROOT = Path(__file__).resolve().parent.parent
N_FOLDS = 5


@dataclass(frozen=True)
class Study:
    """One task with its people: what every predictor is measured on."""

    task: Task
    steps: Mapping[str, Sequence[Step]]  # by user; with the steps without ground truth
    fold: Mapping[str, int]

    @property
    def name(self) -> str:
        return self.task.name

    @cached_property
    def context(self) -> list[str]:
        """Names of what is known at the moments of this task."""
        return sorted({name for own in self.steps.values() for s in own for name in s.context})

    @cached_property
    def people(self) -> list[Person]:
        return [
            Person.of(user, own, self.context, self.task.warm_up)
            for user, own in self.steps.items()
        ]

    @cached_property
    def rows(self) -> metrics.Rows:
        """The scored rows, person after person."""
        scored = [person.scored for person in self.people]
        return metrics.Rows(
            person=np.repeat(np.arange(len(scored)), [own.sum() for own in scored]),
            label=np.concatenate([person.label[person.scored] for person in self.people]),
            history=np.concatenate([np.flatnonzero(own) for own in scored]),
        )

    def scored(self, by_user: Mapping[str, Array]) -> Array:
        """The scored ones of probabilities over each person's known steps, aligned to `rows`."""
        return np.concatenate([by_user[p.user][p.scored] for p in self.people])

    def shuffled(self, seed: int) -> "Study":
        """The same steps with the known outcomes shuffled within each person."""
        random = np.random.default_rng(seed)
        steps = {}
        for user, own in self.steps.items():
            outcomes = iter(random.permutation([s.label for s in own if s.label is not None]))
            steps[user] = [
                s if s.label is None else replace(s, label=int(next(outcomes))) for s in own
            ]
        return replace(self, steps=steps)


def load(data: Path, names: Iterable[str]) -> list[Study]:
    """Read the tasks, check them against the label files, and deal people to folds.

    A person has the same fold in all tasks of one data set.
    """
    people = {name: task.people(data) for name, task in TASKS.items()}
    studies = []
    for name in names:
        task = TASKS[name]
        if found := list(differences(task, people[name], read_rows(data / task.labels_file))):
            raise SystemExit(f"{name} differs from its label file: {found[0]}")
        users = {u for n, own in people.items() if TASKS[n].folder == task.folder for u in own}
        studies.append(Study(task, people[name], rivals.folds(users, N_FOLDS)))
    return studies


# --- Rivals, cached ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """Predictions on disk, under a digest of the code and the columns that made them."""

    folder: Path

    def path(self, study: Study) -> Path:
        digest = hashlib.sha256(Path(rivals.__file__).read_bytes())
        for person in study.people:
            digest.update(person.user.encode())
            for column in (person.label, person.slot, person.day, person.context):
                digest.update(np.ascontiguousarray(column).tobytes())
        return self.folder / f"{study.name}-{digest.hexdigest()[:16]}.npz"

    def get(self, study: Study) -> dict[str, dict[str, Array]] | None:
        """Probabilities by rival and user."""
        if not self.path(study).exists():
            return None
        found: dict[str, dict[str, Array]] = {}
        with np.load(self.path(study)) as file:
            for key in file.files:
                rival, user = key.split("/", 1)
                found.setdefault(rival, {})[user] = file[key]
        return found

    def put(self, study: Study, predictions: Mapping[str, Mapping[str, Array]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        flat = {f"{r}/{u}": p for r, own in predictions.items() for u, p in own.items()}
        np.savez_compressed(self.path(study), **flat)


def rival_jobs(study: Study) -> Iterator[tuple[Callable[..., object], tuple[object, ...]]]:
    """The pieces of work of one task: each person alone, and each fold."""
    n_slots = len(study.task.moments)
    for person in study.people:
        yield rivals.local, (person, n_slots)
    for fold in range(N_FOLDS):
        inside = [p for p in study.people if study.fold[p.user] == fold]
        outside = [p for p in study.people if study.fold[p.user] != fold]
        if inside:
            yield rivals.pooled, (outside, inside, n_slots)


def gather(study: Study, results: Iterable[object]) -> dict[str, dict[str, Array]]:
    """Results of `rival_jobs`, in order, as probabilities by rival and user, with the mixtures."""
    results = iter(results)
    by_user = {person.user: next(results) for person in study.people}
    for fold in results:
        for user, own in fold.items():
            by_user[user] |= own
    for person in study.people:
        own = by_user[person.user]
        own["mix_local"] = rivals.mixture(own, rivals.MIX_LOCAL, person.label)
        own["mix_all"] = rivals.mixture(own, rivals.MIX_ALL, person.label)
    return {name: {u: own[name] for u, own in by_user.items()} for name in rivals.NAMES}


def run_rivals(
    studies: Sequence[Study], cache: Cache, progress: Progress, workers: int, title: str
) -> list[dict[str, dict[str, Array]]]:
    """Predictions of all rivals on each task, from the cache or computed in processes."""
    found = {k: known for k, study in enumerate(studies) if (known := cache.get(study))}
    jobs = {k: list(rival_jobs(s)) for k, s in enumerate(studies) if k not in found}
    if jobs:
        bar = progress.add_task(title, total=sum(map(len, jobs.values())))
        with ProcessPoolExecutor(workers) as pool:
            futures: dict[int, list[Future[object]]] = {
                k: [pool.submit(function, *arguments) for function, arguments in own]
                for k, own in jobs.items()
            }
            for _ in as_completed([f for own in futures.values() for f in own]):
                progress.advance(bar)
        for k, own in futures.items():
            found[k] = gather(studies[k], [future.result() for future in own])
            cache.put(studies[k], found[k])
    return [found[k] for k in range(len(studies))]


# --- Report ------------------------------------------------------------------------------------


def measure(
    study: Study, predictions: Mapping[str, Mapping[str, Array]]
) -> dict[str, dict[str, float]]:
    """All measures of all predictors on one task, with the differences to the three bars."""
    rows = study.rows
    scored = {name: study.scored(by_user) for name, by_user in predictions.items()}
    losses = {name: metrics.losses(p, rows.label) for name, p in scored.items()}
    result = {}
    for name, p in scored.items():
        result[name] = metrics.summary(p, rows)
        for rival in ("base", "mix_local", "mix_all"):
            delta, low, high = metrics.difference(losses[name], losses[rival], rows)
            result[name] |= {
                f"vs_{rival}": delta,
                f"vs_{rival}_low": low,
                f"vs_{rival}_high": high,
            }
    return result


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python benches/quality.py --data ../shared/data",
    )
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--build", type=Path, default=ROOT / "build/quality")
    parser.add_argument("--task", choices=TASKS, action="append", help="default: all eight")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--readme", type=Path, default=ROOT / "benches/README.md")
    options = parser.parse_args(argv)

    console = Console()
    studies = load(options.data, options.task or TASKS)
    cache = Cache(options.build / "rivals")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console,
    ) as progress:  # fmt: skip
        predictions = run_rivals(studies, cache, progress, options.workers, "rivals")
    results = {s.name: measure(s, own) for s, own in zip(studies, predictions, strict=True)}
    console.print(report.by_predictor(results, "log_loss", rivals.NAMES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
