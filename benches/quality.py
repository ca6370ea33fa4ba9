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
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import quality_inhabit as product
import quality_metrics as metrics
import quality_report as report
import quality_rivals as rivals
from convert import TASKS, Step, Task, differences, read_rows
from inhabit.features import DEFAULT_FEATURES, FeatureSet
from quality_rivals import Array, Person

ROOT = Path(__file__).resolve().parent.parent
N_FOLDS = 5

Predictions = dict[str, dict[str, dict[str, Array]]]  # by task, predictor and user


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

SHOWN = (*rivals.NAMES, "inhabit_cold", "inhabit_foreign", "inhabit")
BRIEF = ("base", "mix_local", "mix_all", "inhabit_cold", "inhabit_foreign", "inhabit")
NETWORKS = ("inhabit", "no_networks", "prior_network", "personal_network")
PLOTTED = ("base", "mix_local", "mix_all", "inhabit_cold", "inhabit_foreign", "inhabit")
MAX_GAIN_ON_NOISE = 0.0013
N_TRUNCATIONS = 200


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


@dataclass(frozen=True)
class Run:
    """The benchmark's predictions, all of them, and the folders they are kept in."""

    build: Path
    progress: Progress
    workers: int

    def rivals(
        self, studies: Sequence[Study], title: str
    ) -> dict[str, dict[str, dict[str, Array]]]:
        """By task, predictor and user."""
        found = run_rivals(
            studies, Cache(self.build / "rivals"), self.progress, self.workers, title
        )
        return {study.name: own for study, own in zip(studies, found, strict=True)}

    def cohorts(self, studies: Sequence[Study], folder: str) -> list[product.Cohort]:
        return [
            product.Cohort.read(
                study.task,
                study.steps,
                {name for s in studies if s.task.folder == study.task.folder for name in s.context},
                study.fold,
                self.build / folder,
            )
            for study in studies
        ]

    def shop(self, title: str, n_priors: int) -> product.Priors:
        bar = self.progress.add_task(title, total=n_priors)
        return product.Priors(self.build / "priors", lambda: self.progress.advance(bar))


def add(predictions: Predictions, rows: product.Rows) -> Predictions:
    """Predictions by task, predictor and user, with those of `inhabit` added."""
    return {
        task: own | {name: by_task[task] for name, by_task in rows.items()}
        for task, own in predictions.items()
    }


def gains_on_noise(run: Run, studies: Sequence[Study], seed: int = 0) -> dict[str, float]:
    """How much each predictor beats the base rate where outcomes are shuffled: mean over tasks."""
    shuffled = [study.shuffled(seed) for study in studies]
    predictions = run.rivals(shuffled, "rivals, shuffled")
    cohorts = run.cohorts(shuffled, "shuffled")
    shop = run.shop("inhabit, shuffled", product.n_priors(cohorts, N_FOLDS, times=1))
    rows = product.unseen_habits(cohorts, shop)
    walked = product.across_folds(cohorts, shop, N_FOLDS, networks=True)
    rows["inhabit"] = product.probabilities(cohorts, walked)
    predictions = add(predictions, rows)
    gains: dict[str, list[float]] = {}
    for study in shuffled:
        for name, measures in measure(study, predictions[study.name]).items():
            gains.setdefault(name, []).append(-measures["vs_base"])
    return {name: float(np.mean(values)) for name, values in gains.items()}


def ablation(run: Run, studies: Sequence[Study], cohorts: Sequence[product.Cohort]) -> str:
    """What each default feature is worth: log loss without it, as a table of differences.

    Without a prior, and with one of the other data sets that was trained without the feature, too.
    """
    names = [None, *DEFAULT_FEATURES.names]
    n_sets = len({study.task.folder for study in studies})
    shop = run.shop("ablation", n_sets * len(names))
    mean: dict[str | None, dict[str, dict[str, float]]] = {}
    for left_out in names:
        kept = FeatureSet(tuple(f for f in DEFAULT_FEATURES.features if f.name != left_out))
        rows = product.unseen_habits([c.with_features(kept) for c in cohorts], shop)
        mean[left_out] = {
            name: {
                s.name: float(metrics.losses(s.scored(by_task[s.name]), s.rows.label).mean())
                for s in studies
            }
            for name, by_task in rows.items()
        }
    lines = []
    for left_out in DEFAULT_FEATURES.names:
        for name, by_task in mean[left_out].items():
            worse = {task: loss - mean[None][name][task] for task, loss in by_task.items()}
            average = sum(worse.values()) / len(worse)
            cells = [report.signed(value, 4) for value in (average, *worse.values())]
            lines.append([left_out, name, *cells])
    return report.table(["left out", "", "mean", *(study.name for study in studies)], lines)


def document(
    results: report.Measures,
    judged: Sequence[tuple[str, bool, str]],
    noise: Mapping[str, float],
    cost: Mapping[str, float],
    command: str,
) -> str:
    """The text between the markers of the README."""
    people = sum(1 for _ in results)
    predictors = [name for name in SHOWN if name in next(iter(results.values()))]
    brief = [name for name in BRIEF if name in predictors]
    noisy = ", ".join(f"{name} {gain:+.4f}" for name, gain in noise.items())
    costs = ", ".join(f"{task} {value:.0f}" for task, value in cost.items())
    return "\n\n".join(
        [
            f"Written by `{command}`; {people} tasks. Log loss over rows:",
            report.by_predictor(results, "log_loss", predictors),
            "Mean over people:",
            report.by_predictor(results, "log_loss_people", brief),
            "What was asked of `inhabit`:",
            report.verdict_table(judged),
            "`inhabit`, with a prior from the other folds (differences with 95 % over people):",
            report.profile(results, "inhabit"),
            "`inhabit_foreign`, with a prior from the other data sets only:",
            report.profile(results, "inhabit_foreign"),
            "By amount of own history:",
            report.by_history(results, brief),
            "With and without networks (log loss over rows):",
            report.by_predictor(results, "log_loss", NETWORKS),
            f"Gain over the base rate where outcomes are shuffled, mean over tasks: {noisy}.",
            f"Milliseconds per person-year, training after every outcome: {costs}.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python benches/quality.py --data ../shared/data",
    )
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--build", type=Path, default=ROOT / "build/quality")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--readme", type=Path, default=ROOT / "benches/README.md")
    parser.add_argument("--no-write", action="store_true", help="leave the README alone")
    parser.add_argument(
        "--ablation", action="store_true", help="only measure what each default feature is worth"
    )
    options = parser.parse_args(argv)

    console = Console()
    studies = load(options.data, TASKS)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console,
    ) as progress:  # fmt: skip
        run = Run(options.build, progress, options.workers)
        cohorts = run.cohorts(studies, "events")
        if options.ablation:
            text = ablation(run, studies, cohorts)
            console.print(text)
            if not options.no_write:
                report.write_between_markers(options.readme, "ablation", text)
            return 0
        predictions = run.rivals(studies, "rivals")
        n_priors = product.n_priors(cohorts, N_FOLDS, times=2) + 1  # and one for the checks
        shop = run.shop("inhabit", n_priors)
        predictions = add(predictions, product.predictions(cohorts, shop, N_FOLDS))
        noise = gains_on_noise(run, studies)
        any_prior = product.general_prior(cohorts, shop, lambda c, s: c.fold_of(s) != 0)
        changed = product.changed_by_truncation(cohorts, any_prior, N_TRUNCATIONS)
        cost = product.milliseconds_per_person_year(cohorts, any_prior)

    results = {study.name: measure(study, predictions[study.name]) for study in studies}
    rows = {study.name: study.rows for study in studies}
    scored = {
        s.name: {n: s.scored(by_user) for n, by_user in predictions[s.name].items()}
        for s in studies
    }
    losses = {
        task: {name: metrics.losses(p, rows[task].label) for name, p in own.items()}
        for task, own in scored.items()
    }
    best_on_noise = max(noise, key=lambda name: noise[name])
    judged = [
        *report.verdicts(results, rows),
        (
            f"outcomes shuffled within people: nothing beats base by over {MAX_GAIN_ON_NOISE}",
            noise[best_on_noise] <= MAX_GAIN_ON_NOISE,
            f"largest gain {noise[best_on_noise]:+.4f} ({best_on_noise})",
        ),
        (
            f"logs cut at {N_TRUNCATIONS} random times: no earlier prediction changes by a bit",
            changed == 0,
            f"{changed} changed",
        ),
    ]
    shown = [name for name in SHOWN if name in next(iter(results.values()))]
    console.print(report.rich_table(results, "log_loss", shown))
    for asked, holds, figures in judged:
        console.print(f"[{'green]yes' if holds else 'red]no '}[/] {asked}: {figures}")
    text = document(results, judged, noise, cost, "python benches/quality.py")
    if not options.no_write:
        report.write_between_markers(options.readme, "quality", text)
    report.plot(losses, scored, rows, PLOTTED, options.build / "quality.png")
    everything = {"results": results, "noise": noise, "changed": changed, "cost_ms": cost}
    (options.build / "results.json").write_text(json.dumps(report.as_json(everything), indent=1))
    console.print(f"plot: {options.build / 'quality.png'}, all figures: results.json beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
