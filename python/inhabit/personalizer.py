"""The loop in one object: record what happens, predict, decide, see what came of it, train.

    >>> import tempfile
    >>> home = tempfile.mkdtemp()
    >>> with Personalizer.open(subject="meditate", path=home) as me:
    ...     event = me.record("habit_completed")
    ...     0.0 < me.predict() < 1.0
    True

A *home* is a folder: ``events.sqlite3`` (one person's log, all subjects), ``generations/`` (what
was learnt about each subject) and, if somebody wants other settings, ``config.toml``. Nothing else
is read or written, and nothing leaves the device: there is no network code in this package.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

import numpy as np
import platformdirs

from inhabit.checkpoints import GenerationStore, folder_name, parameters_to_json
from inhabit.decisions import Decision, PolicyState, best_hour, decide
from inhabit.device import probe
from inhabit.events import (
    REMINDER_SENT,
    Event,
    EventLog,
    EventRow,
    Forgotten,
    StoredDecision,
    datetime_from_us,
    recording_time,
    us_from_datetime,
)
from inhabit.exceptions import CheckpointError, ConfigError, ShapeError
from inhabit.features import DEFAULT_FEATURES, FeatureSet
from inhabit.moments import US_PER_DAY
from inhabit.questions import Question, Questions
from inhabit.scheduling import DeviceState, Due, is_due
from inhabit.serving import Serving
from inhabit.settings import Settings
from inhabit.status import Status, Training
from inhabit.targets import NEGATIVE, POSITIVE, UNKNOWN
from inhabit.training import Origin, TrainingRun, resume, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from inhabit.checkpoints import Generation
    from inhabit.decisions import DecisionPolicy, Zone
    from inhabit.samples import Samples
    from inhabit.training import Progress

_log = logging.getLogger(__name__)

__all__ = ["Personalizer", "Status", "Training", "default_home"]

_LOG: Final = "events.sqlite3"
_SOME_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
# An event this soon after a decision to remind is that reminder, told by the app.
_SAME_REMINDER_US: Final = 15 * 60 * 1_000_000


def default_home() -> Path:
    """Return the platform's folder for application data (Application Support on Apple systems)."""
    return platformdirs.user_data_path("inhabit", appauthor=False)


class Personalizer:
    """One person, one subject: the whole loop. Use `Personalizer.open`.

    Not for several threads at once, except that `close` waits for a call that is under way.

    Examples
    --------
    >>> import tempfile
    >>> me = Personalizer.open("meditate", tempfile.mkdtemp())
    >>> event = me.record("habit_completed")
    >>> print(me.decide())
    suppress: already done
    """

    def __init__(
        self,
        subject: str,
        home: Path,
        settings: Settings,
        *,
        feature_set: FeatureSet = DEFAULT_FEATURES,
        clock: Callable[[], datetime],
        device: Callable[[], DeviceState],
    ) -> None:
        if not isinstance(subject, str) or not subject:
            raise ConfigError(f"subject: expected a name such as 'meditate', got {subject!r}")
        Event(kind=settings.target, subject=subject, occurred_at=_SOME_TIME)  # names it can keep
        self.subject = subject
        self.home = home
        self.settings = settings
        self._features = feature_set
        self._origin = Origin.of(settings.prior, feature_set)
        self._clock = clock
        self._device = device
        self._lock = threading.RLock()
        self.log = EventLog(home / _LOG)
        self._policy = self._own_draws(settings.consistent_policy())
        self._questions = Questions(
            self.log, settings.about(subject), settings.schedule(), feature_set
        )
        folder = home / "generations" / folder_name(subject)
        self._store = GenerationStore(folder, keep=settings.keep)
        self._unfinished = GenerationStore(folder / "unfinished", keep=1)
        self._serving: Serving | None = None

    @classmethod
    def open(
        cls,
        subject: str,
        path: Path | str | None = None,
        *,
        settings: Settings | None = None,
        feature_set: FeatureSet = DEFAULT_FEATURES,
        clock: Callable[[], datetime] | None = None,
        device: Callable[[], DeviceState] = probe,
        **changes: Any,
    ) -> Personalizer:
        """Open the home of a person, made if there is none.

        Parameters
        ----------
        subject : str
            What the habit is about, such as ``"meditate"``.
        path : path-like, optional
            The home; by default the platform's folder for application data.
        settings : Settings, optional
            By default those of the home's ``config.toml``, and the defaults where it says nothing.
        feature_set : FeatureSet
            What describes a moment.
        clock : callable, optional
            Returns the present, with offset; by default the machine's clock in its time zone.
        device : callable
            Returns the `DeviceState`; by default `inhabit.device.probe`.
        **changes
            Single settings to replace, such as ``target="walked"``.

        Raises
        ------
        ConfigError
            A setting that does not exist or is out of range.
        CheckpointError
            The prior of the settings cannot be read, or is for other features.
        StorageError
            The folder or the log cannot be opened.
        """
        home = _home_at(path)
        chosen = (settings or Settings.load(home)).changed(**changes)
        return cls(
            subject,
            home,
            chosen,
            feature_set=feature_set,
            clock=clock or (lambda: datetime.now().astimezone()),
            device=device,
        )

    @staticmethod
    def subjects(path: Path | str | None = None) -> tuple[str, ...]:
        """Return the subjects that a home has events about; none where there is no home yet."""
        file = _home_at(path) / _LOG
        if not file.exists():
            return ()
        with EventLog(file) as log:
            return log.subjects()

    def __repr__(self) -> str:
        number = max(self._store.numbers(), default=0)
        return f"Personalizer({self.subject!r}, generation={number}, home={str(self.home)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the log. What was acknowledged before is on the disk already."""
        with self._lock:
            self.log.close()

    # --- what happens ------------------------------------------------------------------------

    def record(
        self,
        kind: str,
        *,
        occurred_at: datetime | None = None,
        value: float | None = None,
        subject: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Event:
        """Keep an event for good; by default of this subject, and now.

        When this returns, the event is on the disk.

        Parameters
        ----------
        kind : str
            Such as ``"habit_completed"``; any name is welcome.
        occurred_at : datetime, optional
            When it happened, with offset, if not just now.
        value : float, optional
            An amount.
        subject : str, optional
            What it is about; ``""`` for what concerns all subjects, such as an app launch.
        id : str, optional
            Identity, so that telling it twice records it once.

        Raises
        ------
        EventError
            A time without offset, a value that is no number.
        """
        with self._lock:
            recorded_at = recording_time(self.now(), occurred_at)
            about = self.subject if subject is None else subject
            with self._own_write():  # what is recorded now changes no label of the past
                event = self.log.record(
                    kind,
                    about,
                    occurred_at=occurred_at,
                    recorded_at=recorded_at,
                    value=value,
                    id=id,
                )
            if self._serving is not None:
                self._serving.told([event.row])
            return event

    def record_all(self, rows: Iterable[EventRow]) -> int:
        """Keep many events, told by an importer or another device; return how many were new.

        They may reach back into the past: then what is served is learnt again from there.
        """
        with self._lock:
            rows = list(rows)
            if not rows:
                return 0
            with self._own_write():
                added = self.log.append_rows(rows)
            if self._serving is not None:
                walked = self._serving.walked
                if walked is None or min(row.recorded_at_us for row in rows) < walked.last_us:
                    self._serving = None
                else:
                    self._serving.told(rows)
            return added

    # --- predict and decide ------------------------------------------------------------------

    def predict(self, at: datetime | None = None) -> float:
        """Return the calibrated probability that the target occurs in the window that is open.

        That is the window of the last scheduled moment: with the default settings, the day. What
        has happened in it so far counts, and so does that nothing has happened yet.

        Parameters
        ----------
        at : datetime, optional
            Look at the log as of this instant, with offset, with what is learnt by now; by default
            now.

        Returns
        -------
        float
            Strictly between 0 and 1; never NaN. 0.999 when it has happened already, which only
            `known` tells from a prediction that is as sure.
        """
        with self._lock:
            return self._look(at).probability

    def known(self, at: datetime | None = None) -> bool | None:
        """Return whether the target has occurred in the window that is open, if that is known.

        Parameters
        ----------
        at : datetime, optional
            Look at the log as of this instant, with offset; by default now.

        Returns
        -------
        bool or None
            True when it has happened, False when the person skipped it, None while it is open.
        """
        with self._lock:
            known = self._look(at).known
            return None if known == UNKNOWN else known == POSITIVE

    def explain(self, at: datetime | None = None) -> dict[str, float]:
        """Return by how much each feature moves the prediction: exact Shapley values.

        They sum to the prediction at the beginning of the window minus that for this person's
        average features.

        Parameters
        ----------
        at : datetime, optional
            Look at the log as of this instant, with offset; by default now.

        Returns
        -------
        dict of str to float
            Feature -> its part of the difference, in units of probability.

        Raises
        ------
        ConfigError
            There are more than 14 features.
        """
        with self._lock:
            question = self._look(at).question
            effects = self._served().explain(question.x, question.slot)
            return dict(zip(self._features.names, effects.tolist(), strict=True))

    def effects(self, moments: int = 40) -> dict[str, float]:
        """Return by how much each feature moves predictions: mean size over the latest moments.

        Raises
        ------
        ConfigError
            `moments` is less than 1, or there are more than 14 features.
        """
        if moments < 1:
            raise ConfigError(f"moments: expected at least 1, got {moments}")
        with self._lock:
            serving = self._served()
            table = self._questions.latest(us_from_datetime(self.now()), moments)
            rows = range(max(len(table) - moments, 0), len(table))
            sizes = np.zeros(len(self._features))
            for row in rows:
                effects = serving.explain(table.features[row], int(table.slot[row]))
                sizes += np.abs(effects) / len(rows)
            return dict(zip(self._features.names, sizes.tolist(), strict=True))

    def decide(self, at: datetime | None = None, *, store: bool | None = None) -> Decision:
        """Decide whether to remind, wait or suppress, and keep the decision with its reasons.

        A decision to remind is a reminder: caps and gaps count it from then on; each subject has
        its own. A decision that is kept begins the subject, as an event about it does: from then
        on, silence is an answer.

        Parameters
        ----------
        at : datetime, optional
            Look at the log as of this instant, with offset, with what is learnt by now; by default
            now.
        store : bool, optional
            Whether to keep it. By default a decision about now is kept, one about another time is
            not: it was made with hindsight.
        """
        with self._lock:
            look = self._look(at)
            serving = self._served()
            recent = self.log.decisions(self.subject, look.now_us - 2 * US_PER_DAY, look.now_us + 1)
            state = PolicyState(
                now=look.now,
                probability=look.probability,
                done=look.known == POSITIVE,
                skipped=look.known == NEGATIVE,
                reminders=tuple(self._reminders(recent, look.now_us)),
                previous_zone=_zone(recent),
                generation=serving.number,
                draw=look.question.draw,
            )
            decision = decide(self._policy, state)
            if store or (store is None and at is None):
                with self._own_write():
                    self.log.add_decision(_stored(self.subject, decision, look))
            return decision

    def best_hour(self) -> int | None:
        """Return the local hour at which reminders are followed most, shrunk as few are few.

        See `inhabit.decisions.best_hour`; None before the first reminder whose outcome is known.
        """
        with self._lock:
            self.observe()
            followed: dict[int, tuple[int, int]] = {}
            for decision in self.log.decisions(self.subject):
                if decision.action == "remind" and decision.outcome in (0, 1):
                    hour = datetime_from_us(decision.at_us, decision.utc_offset_s).hour
                    yes, given = followed.get(hour, (0, 0))
                    followed[hour] = yes + decision.outcome, given + 1
            return best_hour(followed)

    def observe(self) -> int:
        """Join the outcomes of decisions whose windows have closed; return how many were joined."""
        with self._lock:
            now_us = us_from_datetime(self.now())
            closed = [
                decision
                for decision in self.log.decisions(self.subject, open_only=True)
                if decision.window_end_us + self._questions.target.grace_us <= now_us
            ]
            if not (closed and self.log.writable):
                return 0
            start = np.array([decision.window_start_us for decision in closed], dtype=np.int64)
            end = np.array([decision.window_end_us for decision in closed], dtype=np.int64)
            label = self._questions.outcomes(start, end, now_us)
            with self._own_write():
                return self.log.set_outcomes(
                    (decision.id, int(outcome))
                    for decision, outcome in zip(closed, label, strict=True)
                    if decision.id is not None
                )

    # --- learn -------------------------------------------------------------------------------

    def train(
        self,
        *,
        deadline: timedelta | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Training:
        """Learn from everything that has matured, whatever the device says.

        Parameters
        ----------
        deadline : timedelta, optional
            Stop when this much time is used up. Nothing is lost: the generation in service stays,
            and the next training goes on where this one stopped.
        progress : callable, optional
            Called with the moments done and all moments.
        cancelled : callable
            Asked now and then; True stops, and nothing is lost either.
        """
        with self._lock:
            self.observe()
            return self._train(deadline, progress, cancelled)

    def train_if_due(
        self,
        *,
        deadline: timedelta | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Training:
        """Train when the device and the calendar agree; meant to be called now and then.

        The request is that of the settings; see `inhabit.scheduling.is_due`.
        """
        with self._lock:
            self.observe()
            due = self._is_due(self._served().new_labels(us_from_datetime(self.now())))
            if not due:
                number = self._served().number
                return Training(outcome="not due", generation=number, metrics={}, due=due)
            return self._train(deadline, progress, cancelled, due)

    def forget(
        self,
        ids: Iterable[str] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        everything: bool = False,
    ) -> Forgotten:
        """Forget events and all that was learnt from them, exactly.

        The rows leave the disk, and so does every generation of every subject that may have known
        them; what remains is learnt again and gives the same bytes as if they had never been. About
        other subjects that happens at their next training, which is due at once.

        Parameters
        ----------
        ids : iterable of str, optional
            Events by identity, of any subject.
        since, until : datetime, optional
            Events of this subject in a range of time, with offset.
        everything : bool
            All events of all subjects, all decisions.

        Raises
        ------
        ConfigError
            Nothing is named, or more than one of these, or `until` is not after `since`. Nothing is
            changed.
        StorageError
            The rows are gone, but another process is reading and keeps SQLite from cleaning up; it
            does so when the log is opened next.
        """
        with self._lock:
            about = None if ids is not None or everything else self.subject
            named = (ids is not None) + everything + (since is not None or until is not None)
            if named != 1 or isinstance(ids, str):
                raise ConfigError(
                    "forget: expected a collection of ids, or since and/or until, or "
                    "everything=True"
                )
            since_us = None if since is None else us_from_datetime(since, "since")
            until_us = None if until is None else us_from_datetime(until, "until")
            if since_us is not None and until_us is not None and since_us >= until_us:
                raise ConfigError(f"until: expected a time after since {since}, got {until}")
            ids = None if ids is None else tuple(ids)
            if ids == ():
                return Forgotten(0, 0)
            # What was learnt goes first: whatever happens next, nothing outlives its events. An
            # app launch, say, is known to every subject, so the generations of all of them go.
            self._serving = None
            for store in self._all_stores():
                store.purge()
            for subject in self.log.subjects():
                self.log.set_meta(f"last_training:{subject}", None)  # its next training is due
            gone = self.log.forget(
                ids=ids, subject=about, since=since, until=until, everything=everything
            )
            if not everything:
                self._train()
            return gone

    def rollback(self) -> int:
        """Take the generation in service out of service; return the number of the one before it.

        Raises
        ------
        CheckpointError
            There is none before it.
        """
        with self._lock:
            earlier = self._store.rollback()
            self._serving = None
            return earlier.number

    # --- look --------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Number of the generation in service; 0 is the prior."""
        with self._lock:
            return self._served().number

    def status(self) -> Status:
        """Say where the loop stands."""
        with self._lock:
            serving = self._served()
            new_samples = serving.new_labels(us_from_datetime(self.now()))
            return Status(
                subject=self.subject,
                home=str(self.home),
                events=self.log.count(),
                generation=serving.number,
                samples=serving.labels,
                new_samples=new_samples,
                last_training=self._last_training(),
                metrics=serving.metrics,
                experts=serving.experts,
                decisions=self.log.actions(self.subject),
                due=self._is_due(new_samples),
                device=self._device(),
            )

    def question(self, at: datetime | None = None) -> str:
        """Say in words what is predicted."""
        target = self._questions.target
        window = str(target.window)
        words = {
            "rest-of-day": "today",
            "next-day": "tomorrow",
            "next-moment": "before the next moment",
        }
        now = "" if at is None else f", as of {at:%Y-%m-%d %H:%M}"
        return f"{target.kind} {words.get(window, f'within {window}')}{now}"

    def samples(self) -> Samples:
        """Return the samples that the log makes as of now."""
        return self._questions.asked(us_from_datetime(self.now())).samples

    def weights_json(self) -> str:
        """Return the personal network as the JSON of Swift's ``ModelCheckpoint``."""
        with self._lock:
            serving = self._served()
            network = serving.model.tensors()["model.champion"].astype(np.float32)
            layers = serving.model.config.layers
            assert layers is not None  # every model we make has networks
            return parameters_to_json(network, layers, version=serving.number)

    # --- how ---------------------------------------------------------------------------------

    def _own_draws(self, policy: DecisionPolicy) -> DecisionPolicy:
        """Give a policy that explores a seed of this home and subject, if it has none."""
        if policy.explore == 0.0 or policy.seed is not None:
            return policy
        salt = self.log.get_meta("salt")
        if salt is None:
            with self.log.transaction():
                salt = self.log.get_meta("salt") or secrets.token_hex(16)
                self.log.set_meta("salt", salt)
        digest = sha256(f"{salt}\n{self.subject}".encode()).digest()
        return replace(policy, seed=int.from_bytes(digest[:8], "little"))

    @contextlib.contextmanager
    def _own_write(self) -> Iterator[None]:
        """Write something that changes nothing of what is served, and do not mistake it for more.

        Inside of the transaction nobody else can write, so a revision that was up to date before
        is so afterwards; one that was not stays behind, and is noticed.
        """
        with self.log.transaction():
            serving = self._serving
            is_current = serving is not None and serving.revision == self.log.revision
            yield
            if serving is not None and is_current:
                serving.revision = self.log.revision

    def now(self) -> datetime:
        """Return the present, as the clock tells it.

        Raises
        ------
        ConfigError
            The clock tells a time without offset.
        """
        now = self._clock()
        if now.utcoffset() is None:
            raise ConfigError(f"clock: expected a time with offset, got naive {now}")
        return now

    def _look(self, at: datetime | None) -> _Look:
        """Look at one instant: the question that is open, and the answer to it now."""
        now = self.now() if at is None else at
        if not isinstance(now, datetime):
            raise ConfigError(f"at: expected a datetime with offset, got {at!r}")
        now_us = us_from_datetime(now, "at")
        question, probability = self._served().answer(now_us, _offset_s(now))
        known = self._questions.known(question, now_us)
        return _Look(now, now_us, question, known, question.updated(probability, known, now_us))

    def _reminders(self, recent: list[StoredDecision], now_us: int) -> list[datetime]:
        """Return when reminders were given lately, decided here or told by the app."""
        decided = [d for d in recent if d.action == "remind"]
        given = [datetime_from_us(d.at_us, d.utc_offset_s) for d in decided]
        since_us = now_us - 2 * US_PER_DAY
        for event in self.log.events(self.subject, since_us, now_us + 1, kinds=(REMINDER_SENT,)):
            at_us = us_from_datetime(event.occurred_at)
            if not any(0 <= at_us - d.at_us <= _SAME_REMINDER_US for d in decided):
                given.append(event.occurred_at)
        return given

    def _served(self) -> Serving:
        """Return the model in service, with every label learnt that has matured by now."""
        now = self.now()
        serving = self._serving
        if serving is None or serving.revision != self.log.revision:
            generation = self._load()
            serving = self._serving = Serving(generation, self._origin, self._questions)
        serving.catch_up(us_from_datetime(now))
        return serving

    def _load(self) -> Generation | None:
        """Return the newest generation that fits; the prior serves while there is none."""
        try:
            generation = self._store.load()
            resume(generation, self._origin)
        except (CheckpointError, ConfigError, ShapeError) as error:
            # The events are what counts: the next training makes a new generation from them.
            _log.warning("no generation of %r can be used: %s", self.subject, error)
            return None
        return generation

    def _train(
        self,
        deadline: timedelta | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        due: Due | None = None,
    ) -> Training:
        if deadline is not None and not isinstance(deadline, timedelta):
            raise ConfigError(f"deadline: expected a timedelta, got {deadline!r}")
        started = time.perf_counter()
        run = train(
            self.samples(),
            self._origin,
            start=self._furthest(),
            deadline=deadline,
            progress=progress,
            cancelled=cancelled,
        )
        outcome = self._keep(run)
        self._serving = None
        serving = self._served()
        return Training(
            outcome=outcome,
            generation=serving.number,
            samples=run.generation.manifest.counts["labels"],
            metrics=dict(run.generation.manifest.metrics),
            seconds=time.perf_counter() - started,
            due=due,
        )

    def _keep(self, run: TrainingRun) -> Literal["trained", "unchanged", "expired", "cancelled"]:
        """Put what a run has learnt where it belongs."""
        if run.status != "finished":
            self._unfinished.save(run.generation)
            return run.status
        current = self._load()
        has_learnt = run.generation.manifest.counts["labels"] > 0
        changed = has_learnt and (current is None or current.id != run.generation.id)
        if changed:
            self._store.save(run.generation)
        self._unfinished.purge()
        self.log.set_meta(self._last_training_key, self.now().isoformat())
        return "trained" if changed else "unchanged"

    def _furthest(self) -> Generation | None:
        """Return the generation that has walked furthest, finished or not."""
        found = []
        for store in (self._unfinished, self._store):
            with contextlib.suppress(CheckpointError):
                found.append(store.load())
        candidates = [generation for generation in found if generation is not None]
        return max(candidates, key=lambda g: g.manifest.counts.get("moments", 0), default=None)

    def _is_due(self, new_samples: int) -> Due:
        return is_due(
            self.settings.request,
            self._device(),
            self.now(),
            self._last_training(),
            new_samples,
        )

    def _last_training(self) -> datetime | None:
        said = self.log.get_meta(self._last_training_key)
        return None if said is None else datetime.fromisoformat(said)

    @property
    def _last_training_key(self) -> str:
        return f"last_training:{self.subject}"

    def _all_stores(self) -> Iterator[GenerationStore]:
        """Yield the stores of every subject of this home."""
        for folder in sorted((self.home / "generations").glob("*/")):
            yield GenerationStore(folder / "unfinished")
            yield GenerationStore(folder)


@dataclass(frozen=True, slots=True)
class _Look:
    """One instant: the question, and the answer to it now."""

    now: datetime
    now_us: int
    question: Question
    known: int
    probability: float


def _home_at(path: Path | str | None) -> Path:
    return default_home() if path is None else Path(path).expanduser()


def _offset_s(now: datetime) -> int:
    offset = now.utcoffset()
    assert offset is not None  # whoever got here has checked
    return int(offset.total_seconds())


def _zone(recent: list[StoredDecision]) -> Zone | None:
    """Return the zone of the last decision, those aside whose events were forgotten."""
    zones = (decision.zone for decision in reversed(recent) if decision.probability is not None)
    return cast("Zone | None", next(zones, None))


def _stored(subject: str, decision: Decision, look: _Look) -> StoredDecision:
    return StoredDecision(
        subject=subject,
        at_us=look.now_us,
        utc_offset_s=_offset_s(look.now),
        slot=look.question.slot,
        window_start_us=look.question.window[0],
        window_end_us=look.question.window[1],
        action=decision.action,
        probability=decision.probability,
        propensity=decision.propensity,
        generation=decision.generation,
        reasons=decision.reasons,
        features=look.question.x.astype("<f4").tobytes(),
        zone=decision.zone,
    )
