"""The loop in one object: what it serves, keeps, forgets, and survives."""

from __future__ import annotations

import math
import shutil
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inhabit import training
from inhabit.checkpoints import GenerationStore, folder_name
from inhabit.decisions import DecisionPolicy
from inhabit.events import EventColumns, us_from_datetime
from inhabit.exceptions import CheckpointError, ConfigError, EventError, NonFiniteError
from inhabit.personalizer import Personalizer
from inhabit.questions import SURE
from inhabit.scheduling import DeviceState, TrainingRequest
from inhabit.settings import Settings
from inhabit.simulation import SimulatedPerson

ZONE = timezone(timedelta(hours=1))
START = datetime(2026, 1, 5, 9, 0, tzinfo=ZONE)
CHARGING = DeviceState(external_power=True)


class Clock:
    def __init__(self, now=START):
        self.now = now

    def __call__(self):
        return self.now

    def wait(self, **time):
        self.now += timedelta(**time)


def open_home(home, clock, **changes):
    changes = {"subject": "meditate", "prior": "none", **changes}
    return Personalizer.open(path=home, clock=clock, device=lambda: CHARGING, **changes)


def store_of(me):
    return GenerationStore(me.home / "generations" / folder_name(me.subject))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def me(tmp_path, clock):
    with open_home(tmp_path / "home", clock) as personalizer:
        yield personalizer


def live(me, clock, days, seed=3):
    """Let a simulated person live for some days, from now on."""
    person = SimulatedPerson(seed, clock.now.date(), days)
    for day in person.live():
        for part in range(len(day.moments)):
            me.record_all(event.row for event in day.live(part))
    clock.now = datetime.combine(clock.now.date(), START.timetz()) + timedelta(days=days)


# --- the first screen ----------------------------------------------------------------------------


def test_eight_lines(tmp_path):
    """What the README shows, on the real clock and the real device."""
    me = Personalizer.open(subject="meditate", path=tmp_path)
    assert 0 < me.predict() < 1
    event = me.record("habit_completed")
    assert event.subject == "meditate"
    assert me.predict() == SURE
    assert str(me.decide()) == "suppress: already done"
    assert me.train_if_due().outcome in {"trained", "unchanged", "not due"}
    assert repr(me) == f"Personalizer('meditate', generation=0, home={str(tmp_path)!r})"
    assert repr(me.status()).startswith("Status('meditate', events=1, generation=0, samples=0, ")
    assert "learnt from" in str(me.status())
    me.close()
    assert repr(me).startswith("Personalizer('meditate'")


def test_nothing_is_needed_to_predict(me):
    """An empty log gives a probability, a decision and a status."""
    assert 0 < me.predict() < 1
    assert me.decide().action in {"remind", "wait", "suppress"}
    assert me.train().outcome == "unchanged"
    assert me.status().metrics == {}


# --- as the machine sees it ----------------------------------------------------------------------


class Loop(RuleBasedStateMachine):
    """Record, wait, predict, decide, train, reopen, forget, in any order, beside a fresh home."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="inhabit-"))
        self.clock = Clock()
        self.me = open_home(self.folder / "home", self.clock)
        self.events = []
        self.trained = False

    def teardown(self):
        if hasattr(self, "me"):
            self.me.close()
            shutil.rmtree(self.folder)

    @rule(hours=st.integers(1, 40))
    def wait(self, hours):
        self.clock.wait(hours=hours)

    @rule(
        kind=st.sampled_from(["habit_completed", "habit_completed", "habit_skipped", "app_opened"]),
        subject=st.sampled_from(["meditate", "meditate", "", "run"]),
        late=st.integers(0, 30),
    )
    def record(self, kind, subject, late):
        occurred_at = self.clock.now - timedelta(hours=late)
        event = self.me.record(kind, occurred_at=occurred_at, subject=subject)
        if event.id not in {known.id for known in self.events}:
            self.events.append(event)
        self.clock.wait(minutes=1)

    @rule()
    def decide(self):
        decision = self.me.decide()
        stored = self.me.log.decisions("meditate")[-1]
        assert (stored.action, stored.probability) == (decision.action, decision.probability)

    @rule(deadline=st.sampled_from([None, timedelta(0)]))
    def train(self, deadline):
        training = self.me.train(deadline=deadline)
        assert training.outcome in {"trained", "unchanged", "expired"}
        self.trained = training.outcome != "expired"

    @rule()
    def reopen(self):
        before = self.me.predict()
        self.me.close()
        self.me = open_home(self.folder / "home", self.clock)
        assert self.me.predict() == before

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def forget(self, data):
        event = data.draw(st.sampled_from(self.events))
        self.events.remove(event)
        assert self.me.forget([event.id]).events == 1
        self.trained = True

    @precondition(lambda self: self.trained)
    @rule()
    def as_if_from_scratch(self):
        """The bytes in service are those of a home that holds these events and trains now.

        The decisions are as old there: the first one may have begun it all.
        """
        self.me.train()
        with open_home(self.folder / "fresh", self.clock) as fresh:
            fresh.record_all(event.row for event in self.events)
            for decision in self.me.log.decisions("meditate"):
                fresh.log.add_decision(decision)
            fresh.train()
            assert fresh.predict() == self.me.predict()
            stores = store_of(self.me).load(), store_of(fresh).load()
            assert (stores[0] is None) == (stores[1] is None)
            assert stores[0] is None or stores[0].data == stores[1].data
        shutil.rmtree(self.folder / "fresh")

    @invariant()
    def predicts(self):
        if hasattr(self, "me"):
            probability = self.me.predict()
            assert math.isfinite(probability)
            assert 0 < probability < 1


TestLoop = Loop.TestCase


# --- predict -------------------------------------------------------------------------------------


def test_what_has_happened_is_known(me, clock):
    """Done is nearly certain, skipped nearly impossible; the next day is a new question."""
    before = me.predict()
    assert me.known() is None
    me.record("habit_skipped")
    assert (me.predict(), me.known()) == (1 - SURE, False)
    me.record("habit_completed")
    assert (me.predict(), me.known()) == (SURE, True)
    assert me.known(clock.now - timedelta(seconds=1)) is None
    clock.wait(days=1)
    assert me.known() is None
    assert 1 - SURE < me.predict() < SURE
    assert 1 - SURE < before < SURE


def test_the_day_goes_by(me, clock):
    """As long as nothing happens, less and less is to come; mornings are this person's time."""
    for _ in range(20):
        me.record("habit_completed")  # at nine
        clock.wait(days=1)
    me.train()
    clock.now = clock.now.replace(hour=5)
    day = []
    for _ in range(18):
        day.append(me.predict())
        clock.wait(hours=1)
    assert day == sorted(day, reverse=True)
    assert day[0] > 0.8
    assert day[-1] < day[0] / 2


def test_a_question_is_answered_by_what_was_known_at_its_moment(me, clock):
    """Training, live prediction and replay see the same numbers: there is no skew."""
    live(me, clock, 30)
    look = me._look(None)
    table = me.samples()
    assert table.moments.at_us[-1] == look.question.moment.at_us[0]
    assert table.features[-1].tobytes() == look.question.x.tobytes()


def test_a_habit_that_is_taken_up_later_is_not_failed_already(me, clock):
    """An app that was opened on 82 days says nothing about running, which is new."""
    unknown = me.predict()
    for _ in range(82):
        me.record("app_opened", subject="")
        me.record("habit_completed")
        clock.wait(days=1)
    with open_home(me.home, clock, subject="run") as run:
        assert run.predict() == unknown
        assert run.status().new_samples == 0
        run.record("habit_completed")
        clock.wait(days=1)
        assert run.predict() > unknown
        assert run.samples().matured_label.tolist() == [1, -1]
        assert (run.train().samples, run.train().outcome) == (1, "unchanged")


def test_a_decision_begins_a_habit(me, clock):
    """Who was reminded for a week and did nothing is known to have done nothing."""
    for _ in range(10):
        me.record("app_opened", subject="")
        clock.wait(days=1)
    with open_home(me.home, clock, subject="run") as run:
        before = run.predict()
        for _ in range(7):
            run.decide()
            clock.wait(days=1)
        assert run.samples().matured_label.tolist() == [0] * 7 + [-1]
        assert run.predict() < before / 2
        run.train()
        run.forget(until=clock.now)
        assert len(run.samples()) == 0
        assert run.predict() == before


def test_looking_at_another_time(me, clock):
    """As of an earlier instant, only what was known then counts."""
    morning = clock.now
    clock.wait(hours=5)
    me.record("habit_completed")
    assert me.predict() == SURE
    assert me.predict(at=morning) < SURE


@pytest.mark.parametrize("window", ["rest-of-day", "next-day", "next-moment", "6h", "3d"])
@pytest.mark.parametrize("missing", ["negative", "unknown"])
def test_all_windows(tmp_path, clock, window, missing):
    """Every kind of window predicts, decides, learns and joins outcomes."""
    with open_home(tmp_path, clock, window=window, missing=missing) as me:
        for _ in range(10):
            me.decide()
            live(me, clock, 1)
        assert 0 < me.predict() < 1
        samples = me.train().samples
        assert samples > 0 or missing == "unknown"
        assert me.observe() == 0  # training has joined what could be joined
        outcomes = [decision.outcome for decision in me.log.decisions("meditate")]
        assert outcomes[0] is not None
        assert missing == "unknown" or -1 not in outcomes


def test_another_process_is_noticed(me, clock):
    """What somebody else writes to the same home counts at once."""
    assert me.predict() < SURE
    with open_home(me.home, clock) as other:
        other.record("habit_completed")
    assert me.predict() == SURE
    with open_home(me.home, clock) as other:
        live(other, clock, 20)
        other.train()
        assert me.predict() == other.predict()
    assert me.generation == 1


def test_events_from_the_past_are_learnt(me, clock, tmp_path):
    """An import that reaches back gives what would have been had the events been there."""
    live(me, clock, 20)
    me.train()
    rows = list(me.log.columns().rows())
    first = [row._replace(subject="meditate", id=f"old {row.id}") for row in rows[:40]]
    old = [
        row._replace(
            occurred_at_us=row.occurred_at_us - 30 * 86_400_000_000,
            recorded_at_us=row.recorded_at_us - 30 * 86_400_000_000,
        )
        for row in first
    ]
    me.record_all(old)
    with open_home(tmp_path / "fresh", clock) as fresh:
        fresh.record_all([*rows, *old])
        me.train(), fresh.train()
        assert me.predict() == fresh.predict()
        assert store_of(me).load().data == store_of(fresh).load().data


# --- decide --------------------------------------------------------------------------------------


def test_reminders_are_counted_once(me, clock):
    """A decision to remind and the app's word that it did so are one; another is another."""
    policy = DecisionPolicy(remind_below=0.95, suppress_above=0.99, hysteresis=0.0, max_per_day=2)
    with open_home(me.home, clock, policy=policy) as me:
        assert me.decide().action == "remind"
        me.record("reminder_sent", occurred_at=clock.now + timedelta(minutes=2))
        clock.wait(hours=4)
        assert me.decide().action == "remind"
        clock.wait(hours=4)
        decision = me.decide()
        assert decision.action == "wait"
        assert decision.reasons[0] == "2 of 2 reminders today"
        clock.wait(days=1, hours=-8)
        me.record("reminder_sent")
        assert me.decide().reasons[0] == "last reminder 0 min ago, 180 min apart at least"


def test_a_look_is_not_a_decision(me):
    """With store=False nothing is kept."""
    me.decide(store=False)
    assert me.log.decisions() == []


def test_outcomes_are_joined(me, clock):
    """The outcome of a decision is what happened in its window, once that has closed."""
    me.decide()
    clock.wait(hours=2)
    me.record("habit_completed")
    assert me.observe() == 0
    clock.wait(days=1)
    me.decide()
    clock.wait(days=1)
    assert me.observe() == 2
    assert [decision.outcome for decision in me.log.decisions()] == [1, 0]


def test_chance_differs_between_homes_and_subjects(tmp_path, clock):
    """Everybody is reminded on other days; one home and subject draws the same after a restart."""
    policy = DecisionPolicy(explore=0.5, quiet_hours=None)

    def draws(home, subject):
        with open_home(home, clock, subject=subject, policy=policy) as me:
            day = [clock.now + timedelta(days=day) for day in range(40)]
            return [me.decide(at).action for at in day]

    first = draws(tmp_path / "one", "meditate")
    assert draws(tmp_path / "one", "meditate") == first
    assert draws(tmp_path / "one", "read") != first
    assert draws(tmp_path / "two", "meditate") != first


def test_other_subjects_are_learnt_again(me, clock):
    """After forgetting, a training of the other subjects is due at once."""
    with open_home(me.home, clock, subject="read") as other:
        for _ in range(5):
            other.record("habit_completed")
            event = me.record("habit_completed")
            clock.wait(days=1)
        assert other.train()
        assert other.train_if_due().outcome == "not due"
        assert me.forget([]) == (0, 0)
        assert other.generation == 1
        me.forget([event.id])
        assert other.generation == 0
        assert other.train_if_due()


def test_what_is_done_does_not_colour_the_next_question(me, clock):
    """Yesterday's certainty is no zone for today's hysteresis to hold on to."""
    policy = DecisionPolicy(remind_below=0.2, suppress_above=0.75, hysteresis=0.25)
    with open_home(me.home, clock, policy=policy) as me:
        fresh = me.decide()
        assert (fresh.zone, fresh.probability < 0.75) == ("middle", True)
        me.record("habit_completed")
        assert me.decide().zone == "middle"
        clock.wait(days=1)
        again = me.decide()
        assert (again.zone, 0.5 < again.probability < 0.75) == ("middle", True)


def test_a_prediction_at_its_limit_colours_the_next_question(me, clock):
    """It is no knowledge: the day is nearly over, but nothing has happened."""
    policy = DecisionPolicy(remind_below=0.4, hysteresis=0.2)
    with open_home(me.home, clock, policy=policy) as me:
        clock.now = clock.now.replace(hour=3, minute=59) + timedelta(days=1)
        late = me.decide()
        assert (late.zone, late.probability, me.known()) == ("low", 1 - SURE, None)
        clock.wait(hours=2)
        again = me.decide()
        assert (again.zone, 0.4 < again.probability < 0.6) == ("low", True)


def test_the_best_hour_is_learnt(me, clock):
    """Reminders at eight are followed, those at eighteen are not."""
    assert me.best_hour() is None
    policy = DecisionPolicy(remind_below=1.0, suppress_above=1.0, hysteresis=0.0)
    with open_home(me.home, clock, policy=policy) as me:
        for day in range(20):
            clock.now = (START + timedelta(days=day)).replace(hour=8 if day % 2 else 18)
            assert me.decide().action == "remind"
            if day % 2:
                me.record("habit_completed", occurred_at=clock.now + timedelta(minutes=30))
        clock.wait(days=2)
        assert me.best_hour() == 8


def test_decisions_say_what_they_rest_on(me, clock):
    """Probability, features, generation and propensity are kept."""
    live(me, clock, 20)
    me.train()
    with open_home(me.home, clock, policy=DecisionPolicy(explore=0.5)) as me:
        looked = me.decide(store=False)
        decision = me.decide()
        assert decision == looked  # one question, one draw
        (stored,) = me.log.decisions()
        assert stored.generation == decision.generation == 1
        assert stored.propensity == decision.propensity == 0.5
        assert len(stored.features) == 4 * 10


# --- learn ---------------------------------------------------------------------------------------


def test_hurried_trainings_arrive(me, clock, tmp_path, monkeypatch):
    """Stopped after every slice, in ever new processes, a training ends with the same bytes."""
    live(me, clock, 50)
    with open_home(tmp_path / "at once", clock) as other:
        other.record_all(me.log.columns().rows())
        other.train()
        expected = store_of(other).load().data
    monkeypatch.setattr(training, "SLICE", 7)
    outcomes = []
    while not outcomes or outcomes[-1] == "expired":
        with open_home(me.home, clock) as hurried:
            outcomes.append(hurried.train(deadline=timedelta(0)).outcome)
            assert hurried.generation == (outcomes[-1] == "trained")
    assert outcomes == ["expired"] * 7 + ["trained"]
    assert store_of(me).load().data == expected


def test_a_killed_training_loses_nothing(me, clock, monkeypatch):
    """Whatever happens, the generation in service stays and the next training is whole."""
    live(me, clock, 20)
    me.train()
    live(me, clock, 20)
    monkeypatch.setattr(training, "SLICE", 5)
    served = me.predict()

    def killed(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        me.train(progress=killed)
    assert (me.generation, me.predict()) == (1, served)
    assert me.train(cancelled=lambda: True).outcome == "cancelled"
    assert me.generation == 1
    steps = []
    assert me.train(progress=lambda done, of: steps.append((done, of)))
    assert steps[-1] == (41, 41)
    assert steps[0][0] > 21  # it went on, it did not begin again
    assert me.generation == 2


def test_trains_when_due(me, clock):
    """The request is asked; a run counts; nothing new is nothing to do."""
    request = TrainingRequest(after_new_samples=3, interval=None)
    with open_home(me.home, clock, request=request) as me:
        assert str(me.train_if_due()) == "not due: nothing to learn: 0 new samples, 1 needed"
        live(me, clock, 2)
        assert me.train_if_due().outcome == "not due"
        live(me, clock, 2)
        training = me.train_if_due()
        assert training
        assert training.due.reasons == ("4 new samples, 3 were waited for", "on external power")
        assert me.train_if_due().outcome == "not due"
        assert me.status().last_training == clock.now
        assert me.train().outcome == "unchanged"


def test_it_learns(me, clock):
    """Somebody who does it every other day is predicted better than by the base rate."""
    for _ in range(60):
        me.record("habit_completed")
        clock.wait(days=2)
    metrics = me.train().metrics
    assert metrics["log_loss"] < 0.7 * metrics["base_rate_log_loss"]


def test_explanations_add_up(me, clock):
    """The effects of the features sum to the prediction minus that of average features."""
    live(me, clock, 40)
    me.train()
    clock.now = clock.now.replace(hour=4)
    effects = me.explain()
    model, question = me._served().model, me._look(None).question
    base = model.predict(me._served().average, question.slot)
    there = model.predict(question.x, question.slot)
    assert sum(effects.values()) == pytest.approx(there - base, abs=1e-9)
    assert set(me.effects()) == set(effects)
    assert all(size >= 0 for size in me.effects().values())


# --- forget and roll back ------------------------------------------------------------------------


def test_forgetting_leaves_no_trace(me, clock):
    """Every generation that knew the event goes, of every subject, unfinished ones too."""
    live(me, clock, 20)
    me.train()
    with open_home(me.home, clock, subject="read") as other:
        other.record("habit_completed")
        clock.wait(days=3)
        other.train()
    live(me, clock, 5)
    files = {path: path.read_bytes() for path in me.home.glob("generations/**/*.safetensors*")}
    assert len(files) == 2
    me.forget(since=START, until=START + timedelta(days=4))
    left = {path.read_bytes() for path in me.home.glob("generations/**/*.safetensors*")}
    assert len(left) == 1
    assert left.isdisjoint(files.values())
    forgotten = me.log.columns(
        since_us=us_from_datetime(START), until_us=us_from_datetime(START + timedelta(days=4))
    )
    assert set(forgotten.subject) <= {forgotten.subjects.index("")}  # app launches stay


def test_the_hour_that_comes_twice(me, clock):
    """Two times of one zone are compared as instants, not by a wall clock that is set back."""
    paris = ZoneInfo("Europe/Paris")
    first = datetime(2026, 10, 25, 2, 50, tzinfo=paris)  # +02:00
    second = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=paris)  # +01:00, 20 minutes later
    clock.now = second
    assert me.record("habit_completed", occurred_at=first).recorded_at is second
    clock.now = first  # a slow clock: what has happened is known at once
    assert me.record("habit_completed", occurred_at=second).recorded_at is second
    assert me.forget(since=first, until=second).events == 1
    with pytest.raises(ConfigError, match="until: expected a time after since"):
        me.forget(since=second, until=first)


def test_forget_everything(me, clock):
    """All gone: events, decisions, generations; the prior serves again."""
    fresh = me.predict()
    live(me, clock, 20)
    me.decide()
    me.train()
    assert me.forget(everything=True).events > 0
    assert me.log.count() == 0
    assert me.log.decisions() == []
    assert me.generation == 0
    assert me.predict() != fresh or clock.now.hour == START.hour
    assert list(me.home.glob("generations/**/*.safetensors*")) == []


def test_rollback(me, clock):
    """The generation before serves again; without one there is an error and nothing changes."""
    with pytest.raises(CheckpointError, match="no earlier"):
        me.rollback()
    live(me, clock, 10)
    me.train()
    live(me, clock, 10)
    me.train()
    assert (me.generation, me.rollback(), me.generation) == (2, 1, 1)
    with pytest.raises(CheckpointError, match="no earlier"):
        me.rollback()
    assert me.train()
    assert me.generation == 3


@pytest.mark.parametrize(
    "damage", [lambda data: data[:100], lambda data: b"", lambda _: b"garbage" * 99]
)
def test_damaged_generations(me, clock, damage):
    """The newest that verifies is served; with none the prior is, and the next training repairs."""
    live(me, clock, 10)
    me.train()
    expected = me.predict()
    live(me, clock, 1)
    me.train()
    clock.wait(days=-1)
    newest, *older = sorted(store_of(me).folder.glob("*.safetensors"), reverse=True)
    newest.write_bytes(damage(newest.read_bytes()))
    with open_home(me.home, clock) as again:
        assert again.generation == 1
    older[0].write_bytes(damage(older[0].read_bytes()))
    with open_home(me.home, clock) as again:
        assert again.generation == 0
        assert 0 < again.predict() < 1
        assert again.train()
        assert again.generation == 3
        assert again.predict() == expected


def test_generations_for_other_features_are_not_served(me, clock):
    """A home from a version with other features: the prior serves until the next training."""
    from inhabit.features import DEFAULT_FEATURES, times_today

    live(me, clock, 10)
    me.train()
    wider = DEFAULT_FEATURES + times_today("coffee", 2)
    with open_home(me.home, clock, feature_set=wider) as again:
        assert again.generation == 0
        assert again.train()
        assert again.generation == 2


# --- settings and errors -------------------------------------------------------------------------


def test_config_file(tmp_path, clock):
    """A home's config.toml is read; arguments go before it."""
    (tmp_path / "config.toml").write_text(
        'moments = ["06:00", "18:00"]\nwindow = "next-moment"\nprior = "none"\n'
        '[policy]\nquiet_hours = ["20:00", "09:00"]\nminimum_gap = "PT2H"\n'
        '[request]\ninterval = "P7D"\nunknown_means = "yes"\n'
    )
    with Personalizer.open("meditate", tmp_path, clock=clock, window="6h") as me:
        assert [moment.hour for moment in me.settings.moments] == [6, 18]
        assert me.settings.window == "6h"
        assert me.settings.policy.minimum_gap == timedelta(hours=2)
        assert me.settings.request.interval == timedelta(days=7)


@pytest.mark.parametrize(("text", "said"), [
    ("moments = 4", "moments"), ("windows = 'x'", "windows"), ("window = 'never'", "window"),
    ("[policy]\nremind = 1", "remind"), ("[policy]\nremind_below = 2.0", "remind_below"),
    ("[request]\ninterval = 'P0D'", "interval"), ("x = ", "not TOML"), ("keep = 0", "keep"),
])  # fmt: skip
def test_bad_config_files_are_named(tmp_path, text, said):
    """A setting that is none, or out of range, is an error that names file and setting."""
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        Settings.load(tmp_path)
    assert "config.toml" in str(caught.value)


@pytest.mark.parametrize("arguments", [
    {"subject": ""}, {"subject": 5}, {"subject": "a\nb"}, {"subject": "x" * 300}, {"target": ""},
    {"no_such_setting": 1}, {"window": "never"}, {"keep": 0}, {"once": "no"},
    {"policy": {"remind_below": 0.3}}, {"request": "daily"}, {"moments": "04:00"},
])  # fmt: skip
def test_bad_openings(tmp_path, clock, arguments):
    """Opening with nonsense is an error."""
    with pytest.raises((ConfigError, EventError)):
        open_home(tmp_path, clock, **arguments)


def test_bad_arguments_change_nothing(me, clock):
    """Errors name what is wrong; log and generations are as before."""
    live(me, clock, 10)
    me.train()
    before = me.log.count(), me.generation, me.predict()
    with pytest.raises(EventError, match="occurred_at"):
        me.record("habit_completed", occurred_at=datetime(2026, 1, 1))
    with pytest.raises(EventError, match="occurred_at"):
        me.record("habit_completed", occurred_at="2026-01-01")
    with pytest.raises(NonFiniteError, match="value"):
        me.record("habit_completed", value=math.nan)
    with pytest.raises(EventError, match="at"):
        me.predict(datetime(2026, 1, 1))
    with pytest.raises(ConfigError, match="at"):
        me.predict("2026-01-01")
    with pytest.raises(ConfigError, match="deadline"):
        me.train(deadline=5)
    with pytest.raises(ConfigError, match="moments"):
        me.effects(0)
    for arguments in (
        {},
        {"ids": "abc"},
        {"ids": ["x"], "everything": True},
        {"since": datetime(2026, 1, 1)},
        {"since": clock.now, "until": clock.now},
    ):
        with pytest.raises((ConfigError, EventError)):
            me.forget(**arguments)
    assert (me.log.count(), me.generation, me.predict()) == before
    with pytest.raises(ConfigError, match="clock"):
        open_home(me.home, lambda: datetime(2026, 1, 1)).predict()


def test_one_is_one(me, clock):
    """One label is worded as one, two as two."""
    for labels in ("1 label", "2 labels"):
        me.record("habit_completed")
        clock.now += timedelta(days=1)
        assert f"from {labels} in" in str(me.train())
        assert f"{labels}, 0 new since" in str(me.status())


def test_subjects(tmp_path, clock):
    """The subjects of a home; none before there is one."""
    assert Personalizer.subjects(tmp_path / "nowhere") == ()
    assert not (tmp_path / "nowhere").exists()
    with open_home(tmp_path, clock) as me:
        me.record("habit_completed")
        me.record("app_opened", subject="")
    assert Personalizer.subjects(tmp_path) == ("meditate",)


def test_weights_for_swift(me, clock):
    """The network as Swift's ModelCheckpoint."""
    import json

    live(me, clock, 10)
    me.train()
    checkpoint = json.loads(me.weights_json())
    assert [len(weights) for weights in checkpoint["weights"]] == [160, 128, 8]
    assert (len(checkpoint["biases"]), checkpoint["version"]) == (25, 1)


def test_naming_the_question(me):
    """The question is put into words."""
    assert me.question() == "habit_completed today"
    assert (
        me.question(datetime(2026, 1, 1, 8, tzinfo=UTC))
        == "habit_completed today, as of 2026-01-01 08:00"
    )


def test_an_empty_import_is_nothing(me):
    """No rows, no work."""
    assert me.record_all(EventColumns.from_rows([]).rows()) == 0
