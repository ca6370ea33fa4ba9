"""The rows of `inhabit` in `quality.py`: from the converted events, through the package itself.

Events are read by the importer, moments, features and labels are made by `inhabit.samples`, and
predictions by the walk through `inhabit._native`: what ``inhabit replay`` does, for all tasks and
with priors that are trained here, on people and on data sets that a predictor must not have seen.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import inhabit
from convert import Step, Task, write_events
from inhabit import empirical_bayes, importers, priors
from inhabit._native import EXPERTS, WalkForward
from inhabit.checkpoints import Generation
from inhabit.empirical_bayes import GENERAL, PriorConfig, train_prior
from inhabit.events import EventColumns
from inhabit.features import (
    DEFAULT_FEATURES,
    AsOf,
    Feature,
    FeatureSet,
    feature,
    last_value,
    saturating,
)
from inhabit.moments import US_PER_DAY, Schedule
from inhabit.population import walk, walk_many
from inhabit.samples import UNKNOWN, Samples, Target, samples

Array = NDArray[np.float64]

JUST_BEFORE = timedelta(minutes=1)

# What is known at a decision point of HeartSteps, and the range that becomes [0, 1].
CONTEXT = {
    "send": (0, 1),
    "message_active": (0, 1),
    "send_share": (0, 1),
    "at_home": (0, 1),
    "at_work": (0, 1),
    "still": (0, 1),
    "in_vehicle": (0, 1),
    "on_foot": (0, 1),
    "in_transit": (0, 1),
    "temperature_c": (-20, 40),
}


# Kinds that are not always measured. The rivals are told when one is missing, and so is `inhabit`.
SOMETIMES = ("in_transit", "temperature_c", "steps_60min_before")


@feature()
def context_incomplete(asof: AsOf) -> Array:
    """1 where something of the context is not known, else 0."""
    values = [asof.latest(kind, JUST_BEFORE)[1] for kind in SOMETIMES]
    return np.isnan(values).any(axis=0).astype(np.float64)


def recent_steps(half_at: float) -> Feature:
    """Steps of the last hour: ``s / (s + half_at)``, 0.5 if not known.

    At several scales, because a rest, a stroll and a run are orders of magnitude apart, and a
    single bounded column tells only two of them from each other.
    """

    def compute(asof: AsOf) -> Array:
        _, value = asof.latest("steps_60min_before", JUST_BEFORE)
        return np.where(np.isnan(value), 0.5, saturating(np.nan_to_num(value), half_at))

    return Feature(f"recent_steps_{half_at:g}", compute)


def features_of(context: Iterable[str]) -> FeatureSet:
    """The default features, and those of the kinds of context that there are."""
    chosen, kinds = DEFAULT_FEATURES, sorted(context)
    for kind in kinds:
        if kind in CONTEXT:
            chosen += last_value(kind, *CONTEXT[kind], within=JUST_BEFORE)
        elif kind == "steps_60min_before":
            for half_at in (30, 200, 1000):
                chosen += recent_steps(half_at)
    return chosen + context_incomplete if kinds else chosen


@dataclass(frozen=True)
class Subject:
    """One person in one task: the events, and the samples they make."""

    user: str
    events: EventColumns
    target: Target
    schedule: Schedule
    feature_set: FeatureSet

    @cached_property
    def samples(self) -> Samples:
        return self.samples_as_of(None)

    def samples_as_of(self, as_of_us: int | None) -> Samples:
        """The samples that the events recorded before an instant make."""
        return samples(self.events, self.target, self.schedule, self.feature_set, as_of_us=as_of_us)

    @property
    def known(self) -> NDArray[np.bool_]:
        return self.samples.label != UNKNOWN


def read_task(
    task: Task, steps: Mapping[str, Sequence[Step]], path: Path, feature_set: FeatureSet
) -> list[Subject]:
    """Convert the steps of a task to events, read them back as `inhabit replay` does, and check
    that every known step has become a sample with its label."""
    write_events(task, steps, path)
    columns, _ = importers.collect(importers.read_csv(path), strict=True)
    options = task.replay_options()
    target = Target(
        kind=options["--target"],
        subject=task.name,
        window=options["--window"],
        missing=options["--missing"],
    )
    schedule = Schedule.parse(options["--moments"])
    subjects = [Subject(user, columns[user], target, schedule, feature_set) for user in steps]
    for subject in subjects:
        made, known = subject.samples, subject.known
        wanted = [
            (s.day.toordinal(), s.slot, s.label) for s in steps[subject.user] if s.label is not None
        ]
        moments = made.moments
        got = zip(moments.day[known], moments.slot[known], made.label[known], strict=True)
        if [tuple(map(int, row)) for row in got] != wanted:
            raise SystemExit(f"{task.name}, {subject.user}: the samples are not the steps")
    return subjects


# --- Priors ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Priors:
    """Trains priors, and keeps them on disk under a digest of all that made them."""

    folder: Path
    advance: Callable[[], object] = lambda: None

    def train(
        self,
        people: Sequence[Samples],
        config: PriorConfig,
        groups: Sequence[str] | None = None,
        start: Generation | None = None,
    ) -> Generation:
        """Train a prior for the people's features, from one for these features or fewer."""
        path = self.folder / f"{self._digest(people, config, groups, start)}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            feature_set = people[0].feature_set
            prior = train_prior(people, config, start=start, groups=groups)
            path.write_bytes(priors.pack(prior, feature_set).data)
        self.advance()
        return priors.read(path)

    @staticmethod
    def _digest(
        people: Sequence[Samples],
        config: PriorConfig,
        groups: Sequence[str] | None,
        start: Generation | None,
    ) -> str:
        digest = hashlib.sha256(f"{config} {groups} {start and start.id}".encode())
        for module in (inhabit._native, empirical_bayes, priors):  # noqa: SLF001
            digest.update(Path(module.__file__).read_bytes())
        digest.update(people[0].feature_set.schema_hash.encode())
        for own in people:
            for column in (own.features, own.matured_label, own.slot, own.learn_at):
                digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()[:20]


@dataclass(frozen=True)
class Cohort:
    """One task as `inhabit` sees it. ``general`` has the default features only."""

    task: Task
    fold: Mapping[str, int]
    subjects: Sequence[Subject]
    general: Sequence[Samples]

    @classmethod
    def read(
        cls,
        task: Task,
        steps: Mapping[str, Sequence[Step]],
        context: Iterable[str],
        fold: Mapping[str, int],
        folder: Path,
    ) -> "Cohort":
        folder.mkdir(parents=True, exist_ok=True)
        subjects = read_task(task, steps, folder / f"{task.name}.csv", features_of(context))
        general = [replace(s, feature_set=DEFAULT_FEATURES).samples for s in subjects]
        return cls(task, fold, subjects, general)

    def fold_of(self, subject: Subject) -> int:
        return self.fold[subject.user]

    def with_features(self, feature_set: FeatureSet) -> "Cohort":
        """The same people described by other features, the general ones included."""
        subjects = [replace(subject, feature_set=feature_set) for subject in self.subjects]
        return replace(self, subjects=subjects, general=[s.samples for s in subjects])


def general_prior(
    cohorts: Sequence[Cohort],
    shop: Priors,
    chosen: Callable[[Cohort, Subject], bool],
    *,
    networks: bool = True,
) -> Generation:
    """A prior from the chosen people of all tasks; its experts are judged on other tasks."""
    people = [
        (own, cohort.task.name)
        for cohort in cohorts
        for subject, own in zip(cohort.subjects, cohort.general, strict=True)
        if chosen(cohort, subject)
    ]
    config = replace(GENERAL, networks=networks)
    return shop.train([own for own, _ in people], config, [task for _, task in people])


# --- Predictions -------------------------------------------------------------------------------

ByUser = dict[str, Array]
Rows = dict[str, dict[str, ByUser]]  # by predictor, task and user: probabilities of known steps


def walks(
    subjects: Sequence[Subject], prior: Generation | None, *, networks: bool = True
) -> dict[str, WalkForward]:
    """Walk through the people of one task; the result of each by user."""
    feature_set = subjects[0].feature_set
    config = priors.model_config(feature_set, priors.HIDDEN_LAYERS if networks else None)
    known = None if prior is None else priors.prior_for(prior, feature_set, networks=networks)
    walked = walk_many([subject.samples for subject in subjects], known, config)
    return {subject.user: walk for subject, walk in zip(subjects, walked, strict=True)}


def predictions(cohorts: Sequence[Cohort], shop: Priors, n_folds: int) -> Rows:
    """All rows of `inhabit`.

    ``inhabit_cold`` has no prior. ``inhabit`` has one from the people of the other folds: a general
    one of all tasks, refined by the other people with this habit. ``inhabit_foreign`` has one of
    the other data sets. ``no_networks`` is ``inhabit`` with priors and models that have neither the
    prior nor the personal network; ``prior_network`` and ``personal_network`` are single experts.
    """
    rows = unseen_habits(cohorts, shop)
    for networks, name in ((True, "inhabit"), (False, "no_networks")):
        walked = across_folds(cohorts, shop, n_folds, networks=networks)
        rows[name] = probabilities(cohorts, walked)
        if networks:
            for expert in ("prior", "personal"):
                column = EXPERTS.index(expert)
                rows[f"{expert}_network"] = {
                    c.task.name: {
                        s.user: walked[c.task.name][s.user].experts[s.known, column]
                        for s in c.subjects
                    }
                    for c in cohorts
                }
    return rows


def unseen_habits(cohorts: Sequence[Cohort], shop: Priors) -> Rows:
    """The rows that need no other people with this habit: without a prior, with a foreign one."""
    cold = {c.task.name: walks(c.subjects, None) for c in cohorts}
    foreign = {}
    for folder in dict.fromkeys(cohort.task.folder for cohort in cohorts):
        prior = general_prior(cohorts, shop, lambda c, _, own=folder: c.task.folder != own)
        for cohort in cohorts:
            if cohort.task.folder == folder:
                foreign[cohort.task.name] = walks(cohort.subjects, prior)
    return {
        "inhabit_cold": probabilities(cohorts, cold),
        "inhabit_foreign": probabilities(cohorts, foreign),
    }


def across_folds(
    cohorts: Sequence[Cohort], shop: Priors, n_folds: int, *, networks: bool
) -> dict[str, dict[str, WalkForward]]:
    """Walks of everyone with a prior from the people of the other folds, by task and user."""
    walked: dict[str, dict[str, WalkForward]] = {cohort.task.name: {} for cohort in cohorts}
    for fold in range(n_folds):
        general = general_prior(
            cohorts, shop, lambda c, s, k=fold: c.fold_of(s) != k, networks=networks
        )
        for cohort in cohorts:
            inside = [s for s in cohort.subjects if cohort.fold_of(s) == fold]
            others = [s.samples for s in cohort.subjects if cohort.fold_of(s) != fold]
            if inside:
                prior = shop.train(others, PriorConfig(networks=networks), start=general)
                walked[cohort.task.name] |= walks(inside, prior, networks=networks)
    return walked


def probabilities(
    cohorts: Sequence[Cohort], walked: Mapping[str, Mapping[str, WalkForward]]
) -> dict[str, ByUser]:
    """What was served at the known steps."""
    return {
        c.task.name: {s.user: walked[c.task.name][s.user].probability[s.known] for s in c.subjects}
        for c in cohorts
    }


def n_priors(cohorts: Sequence[Cohort], n_folds: int, times: int) -> int:
    """How many priors `unseen_habits` and `across_folds`, so many times, train."""
    used = {(c.task.name, c.fold_of(s)) for c in cohorts for s in c.subjects}
    return len({c.task.folder for c in cohorts}) + times * (n_folds + len(used))


# --- Checks ------------------------------------------------------------------------------------


def changed_by_truncation(
    cohorts: Sequence[Cohort], prior: Generation, n_times: int, seed: int = 0
) -> int:
    """Cut logs at random times; count the earlier predictions that differ by a bit or more.

    The cuts are after the first day, because before its first event a log has no moments.
    """
    random = np.random.default_rng(seed)
    changed = 0
    for _ in range(n_times):
        cohort = cohorts[random.integers(len(cohorts))]
        subject = cohort.subjects[random.integers(len(cohort.subjects))]
        at_us = subject.samples.moments.at_us
        cut_us = int(random.integers(at_us[0] + US_PER_DAY, at_us[-1]))
        known = priors.prior_for(prior, subject.feature_set)
        whole = walk(subject.samples, known).probability
        part = walk(subject.samples_as_of(cut_us), known).probability
        changed += int(len(part) != (at_us < cut_us).sum())
        changed += int((part != whole[: len(part)]).sum())
    return changed


def milliseconds_per_person_year(cohorts: Sequence[Cohort], prior: Generation) -> dict[str, float]:
    """Time of a walk with its training after every outcome, on one thread, per 365 days.

    The best of three, because other work on the machine only ever adds time.
    """
    cost = {}
    for cohort in cohorts:
        known = priors.prior_for(prior, cohort.subjects[0].feature_set)
        tables = [subject.samples for subject in cohort.subjects]
        days = sum(int(own.moments.at_us[-1] - own.moments.at_us[0]) / US_PER_DAY for own in tables)
        elapsed_s = []
        for _ in range(3):
            began = time.perf_counter()
            for own in tables:
                walk(own, known)
            elapsed_s.append(time.perf_counter() - began)
        cost[cohort.task.name] = min(elapsed_s) * 1000 / days * 365
    return cost
