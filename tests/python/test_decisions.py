"""Decisions: limits that nothing breaks, thresholds that do not flutter, chance on record."""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inhabit.decisions import Decision, DecisionPolicy, PolicyState, best_hour, decide, rank
from inhabit.exceptions import ConfigError, NonFiniteError

NIGHT, NOON = (time(22), time(7)), (time(12), time(14))
EVENING = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
probabilities = st.floats(0, 1)
times = st.times().map(lambda t: t.replace(microsecond=0))

policies = st.builds(
    DecisionPolicy,
    quiet_hours=st.none() | st.tuples(times, times).filter(lambda span: span[0] != span[1]),
    max_per_day=st.integers(0, 4),
    minimum_gap=st.integers(0, 12 * 60).map(lambda minutes: timedelta(minutes=minutes)),
    day_start=times,
    explore=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 2**64 - 1),
)


class Reminders(RuleBasedStateMachine):
    """A person lives through the clock changes of a year; reminders obey the policy all the way."""

    zones = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC")

    @initialize(
        policy=policies,
        start=st.sampled_from(
            [
                datetime(2026, 3, 28),
                datetime(2026, 10, 24),
                datetime(2026, 4, 4),
                datetime(2026, 7, 1),
            ]
        ),
        zone=st.sampled_from(zones),
    )
    def begin(self, policy, start, zone):
        self.policy = policy
        self.now = start.replace(tzinfo=UTC)
        self.zone = ZoneInfo(zone)
        self.given: list[datetime] = []
        self.zone_before = None
        self.moments = 0

    @rule(minutes=st.integers(1, 600))
    def wait(self, minutes):
        self.now += timedelta(minutes=minutes)

    @rule(zone=st.sampled_from(zones))
    def travel(self, zone):
        self.zone = ZoneInfo(zone)

    @rule(
        probability=probabilities,
        done=st.booleans(),
        skipped=st.booleans(),
        snooze=st.none() | st.integers(-60, 60),
    )
    def ask(self, probability, done, skipped, snooze):
        local = self.now.astimezone(self.zone)
        self.moments += 1
        state = PolicyState(
            now=local,
            probability=probability,
            done=done,
            skipped=skipped,
            reminders=tuple(self.given),
            previous_zone=self.zone_before,
            snoozed_until=None if snooze is None else local + timedelta(minutes=snooze),
            draw=self.moments,
        )
        decision = decide(self.policy, state)
        assert decision == decide(self.policy, state)
        assert decision.reasons
        assert 0.0 < decision.propensity <= 1.0
        self.zone_before = decision.zone
        if decision.action == "remind":
            assert not done
            assert not skipped
            assert snooze is None or snooze <= 0
            self.given.append(local)

    @invariant()
    def quiet_hours_hold(self):
        span = getattr(self, "policy", DecisionPolicy()).quiet_hours
        for reminder in getattr(self, "given", ()):
            if span is not None:
                clock, (start, end) = reminder.time(), span
                quiet = start <= clock < end if start < end else not end <= clock < start
                assert not quiet

    @invariant()
    def gap_holds(self):
        given = [r.timestamp() for r in getattr(self, "given", ())]
        for earlier, later in pairwise(given):
            assert later - earlier >= self.policy.minimum_gap.total_seconds()

    @invariant()
    def cap_holds(self):
        days: dict[object, int] = {}
        for reminder in getattr(self, "given", ()):
            start = self.policy.day_start
            day = reminder.date() - timedelta(days=reminder.time() < start)
            days[day] = days.get(day, 0) + 1
        assert all(n <= self.policy.max_per_day for n in days.values())


TestReminders = Reminders.TestCase


@given(
    st.floats(0.03, 0.97),
    st.lists(st.floats(-0.02, 0.02), min_size=2, max_size=200),
    st.sampled_from(["low", "middle", "high", None]),
)
def test_noise_flips_at_most_once(level, noise, zone):
    """Noise of two percent points around any level changes the zone at most once."""
    policy = DecisionPolicy(quiet_hours=None)
    zones = []
    for jitter in noise:
        decision = decide(
            policy, PolicyState(now=EVENING, probability=level + jitter, previous_zone=zone)
        )
        zone = decision.zone
        zones.append(zone)
    assert sum(a != b for a, b in pairwise(zones)) <= 1


def test_thresholds_and_hysteresis():
    """Entered at the threshold, left only beyond the band."""
    policy = DecisionPolicy()

    def zone(p, before=None):
        return decide(policy, PolicyState(now=EVENING, probability=p, previous_zone=before)).zone

    assert [zone(0.39), zone(0.40), zone(0.80), zone(0.81)] == ["low", "middle", "middle", "high"]
    assert [zone(0.44, "low"), zone(0.46, "low")] == ["low", "middle"]
    assert [zone(0.76, "high"), zone(0.74, "high")] == ["high", "middle"]


@pytest.mark.parametrize(
    ("probability", "action"),
    [(0.0, "remind"), (0.31, "remind"), (0.6, "wait"), (0.81, "suppress"), (1.0, "suppress")],
)
def test_actions_follow_the_probability(probability, action):
    """Below 0.4 remind, above 0.8 suppress, between them leave things alone."""
    assert (
        decide(DecisionPolicy(), PolicyState(now=EVENING, probability=probability)).action == action
    )


@given(policies, probabilities, st.integers(0, 2**63))
def test_done_is_never_reminded(policy, probability, draw):
    """Whatever the policy and the draw: who has done it is left alone."""
    decision = decide(
        policy, PolicyState(now=EVENING, probability=probability, done=True, draw=draw)
    )
    assert (decision.action, decision.propensity) == ("suppress", 1.0)


def test_randomisation_is_accounted_for():
    """The stored propensity is the frequency with which such an action is chosen."""
    policy = DecisionPolicy(explore=0.1, seed=5)
    n = 20_000
    flipped = 0
    for draw in range(n):
        decision = decide(policy, PolicyState(now=EVENING, probability=0.2, draw=draw))
        assert decision.propensity == (0.9 if decision.action == "remind" else 0.1)
        flipped += decision.action != "remind"
    assert abs(flipped / n - 0.1) < 5 * math.sqrt(0.1 * 0.9 / n)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_one_moment_one_draw(seed, draw):
    """Asking twice does not draw twice, and without `explore` chance has no part."""
    state = PolicyState(now=EVENING, probability=0.9, draw=draw)
    policy = DecisionPolicy(explore=0.5, seed=seed)
    assert decide(policy, state) == decide(policy, state)
    assert decide(DecisionPolicy(seed=seed), state).propensity == 1.0


def test_generator_is_splitmix64():
    """The draws are the published generator's: first outputs of seed 1234567."""
    from inhabit.decisions import _uniform

    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [_uniform(1234567, k) for k in range(3)] == [(z >> 11) * 2.0**-53 for z in published]


def test_every_hindrance_is_told():
    """All that forbids a reminder is said, not only the first."""
    state = PolicyState(
        now=EVENING.replace(hour=23),
        probability=0.1,
        reminders=(EVENING, EVENING + timedelta(hours=4)),
        snoozed_until=EVENING + timedelta(hours=6),
    )
    decision = decide(DecisionPolicy(max_per_day=2), state)
    assert str(decision) == (
        "wait: snoozed until 00:00; quiet hours from 22:00 to 07:00; 2 of 2 reminders today; "
        "last reminder 60 min ago, 180 min apart at least; 10 % likely, below 40 %"
    )


@pytest.mark.parametrize(("quiet", "hour", "action"), [
    (NIGHT, 21, "remind"), (NIGHT, 22, "wait"), (NIGHT, 3, "wait"), (NIGHT, 7, "remind"),
    (NOON, 11, "remind"), (NOON, 12, "wait"), (NOON, 13, "wait"), (NOON, 14, "remind"),
    (None, 3, "remind"),
])  # fmt: skip
def test_quiet_hours(quiet, hour, action):
    """From the first time on, up to the second, over midnight too."""
    state = PolicyState(now=EVENING.replace(hour=hour), probability=0.1)
    assert decide(DecisionPolicy(quiet_hours=quiet), state).action == action


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_never_enters_a_decision(bad):
    """A probability that is no number is refused."""
    with pytest.raises(NonFiniteError, match="probability"):
        PolicyState(now=EVENING, probability=bad)
    with pytest.raises(NonFiniteError, match="walk"):
        rank({"walk": bad})


@pytest.mark.parametrize(("name", "arguments"), [
    ("remind_below", {"remind_below": 0.9}),
    ("suppress_above", {"suppress_above": 1.1}),
    ("remind_below", {"remind_below": math.nan}),
    ("hysteresis", {"hysteresis": 0.3}),
    ("hysteresis", {"hysteresis": math.nan}),
    ("explore", {"explore": 0.6}),
    ("explore", {"explore": math.nan}),
    ("max_per_day", {"max_per_day": -1}),
    ("max_per_day", {"max_per_day": math.nan}),
    ("day_start", {"day_start": "04:00"}),
    ("seed", {"seed": "7"}),
    ("minimum_gap", {"minimum_gap": timedelta(seconds=-1)}),
    ("minimum_gap", {"minimum_gap": 3}),
    ("quiet_hours", {"quiet_hours": (time(1), time(1))}),
    ("quiet_hours", {"quiet_hours": ("22:00", "07:00")}),
    ("quiet_hours", {"quiet_hours": time(1)}),
])  # fmt: skip
def test_bad_policies_are_named(name, arguments):
    """A setting out of range is an error that names it."""
    with pytest.raises(ConfigError, match=name):
        DecisionPolicy(**arguments)


@pytest.mark.parametrize(("name", "arguments"), [
    ("now", {"now": datetime(2026, 1, 1)}),
    ("reminders", {"reminders": (datetime(2026, 1, 1),)}),
    ("snoozed_until", {"snoozed_until": datetime(2026, 1, 1)}),
    ("probability", {"probability": 1.5}),
    ("now", {"now": "2026-01-01T00:00Z"}),
    ("reminders", {"reminders": ("2026-01-01T00:00Z",)}),
    ("previous_zone", {"previous_zone": "remind"}),
])  # fmt: skip
def test_bad_states_are_named(name, arguments):
    """So is a time without offset and a probability that is none."""
    with pytest.raises(ConfigError, match=name):
        PolicyState(**{"now": EVENING, "probability": 0.5, **arguments})


def test_repr_is_short():
    """What a person sees at the prompt."""
    decision = decide(DecisionPolicy(), PolicyState(now=EVENING, probability=0.31))
    assert (
        repr(decision)
        == "Decision('remind', probability=0.31, reasons=['31 % likely, below 40 %'])"
    )
    assert isinstance(decision, Decision)


@given(
    st.dictionaries(
        st.integers(0, 23),
        st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    )
)
def test_best_hour_is_one_of_them(outcomes):
    """The best hour is one that was offered; one lucky answer does not beat everything else."""
    best = best_hour(outcomes)
    assert best is None if not outcomes else best in outcomes
    assert best_hour({8: (1, 1), 18: (90, 100)}, usual={8: 0.2}) == 18


@given(st.dictionaries(st.text(max_size=3), probabilities))
def test_rank_sorts_all(items):
    """Every item once, the most probable first."""
    ranked = rank(items)
    assert sorted(ranked) == sorted(items)
    assert all(items[a] >= items[b] for a, b in pairwise(ranked))
