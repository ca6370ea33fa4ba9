"""When to train: pure, explains itself, asks for what was asked."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhabit.exceptions import ConfigError
from inhabit.scheduling import DAILY, WEEKLY, DeviceState, TrainingRequest, is_due

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
READY = DeviceState(
    external_power=True, unmetered_network=True, device_idle=True, locked=True, battery_not_low=True
)
FACTS = sorted(READY.facts())

answers = st.sampled_from([True, False, None])
devices = st.builds(DeviceState, **dict.fromkeys(FACTS, answers))
instants = st.datetimes(
    datetime(2020, 1, 1),
    datetime(2030, 1, 1),
    timezones=st.sampled_from([UTC, ZoneInfo("Europe/Berlin")]),
)
requests = st.builds(
    TrainingRequest,
    **{f"requires_{name}": st.booleans() for name in FACTS},
    interval=st.sampled_from([None, DAILY, WEEKLY]),
    after_new_samples=st.integers(1, 50),
    minimum_new_samples=st.integers(0, 3),
    earliest_begin=st.none() | instants,
    unknown_means=st.sampled_from(["no", "yes"]),
)


def test_every_fact_can_be_required():
    """The request and the device speak of the same facts."""
    required = {
        f.name.removeprefix("requires_")
        for f in fields(TrainingRequest)
        if f.name.startswith("requires_")
    }
    assert required == set(FACTS)


@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize(("value", "unknown_means", "due"), [
    (True, "no", True), (True, "yes", True),
    (False, "no", False), (False, "yes", False),
    (None, "no", False), (None, "yes", True),
])  # fmt: skip
def test_one_required_fact_decides(fact, value, unknown_means, due):
    """With all else in order, the one required fact decides; unknown means what was configured."""
    nothing = {f"requires_{name}": name == fact for name in FACTS}
    request = TrainingRequest(**nothing, unknown_means=unknown_means)
    answer = is_due(request, replace(READY, **{fact: value}), NOW, None, 1)
    assert bool(answer) is due
    assert any(("unknown" in reason) is (value is None) for reason in answer.reasons)


@given(requests, devices, instants, st.none() | instants, st.integers(0, 60))
def test_pure_and_says_why(request_, device, now, last_run, new_samples):
    """Same arguments, same answer; never without a reason; and never due against a requirement."""
    answer = is_due(request_, device, now, last_run, new_samples)
    assert answer == is_due(request_, device, now, last_run, new_samples)
    assert answer.reasons
    assert all(reason == reason.strip() and reason for reason in answer.reasons)
    if answer:
        facts = device.facts()
        unknown = request_.unknown_means == "yes"
        assert all(facts[name] or (facts[name] is None and unknown) for name in request_.required())
        assert request_.earliest_begin is None or now.astimezone(UTC) >= request_.earliest_begin


@given(
    requests, devices, instants, st.none() | instants, st.integers(0, 60), st.sampled_from(FACTS)
)
def test_a_better_device_never_hinders(request_, device, now, last_run, new_samples, fact):
    """Turning one fact to True never makes a due training not due."""
    before = is_due(request_, device, now, last_run, new_samples)
    after = is_due(request_, replace(device, **{fact: True}), now, last_run, new_samples)
    assert after or not before


@pytest.mark.parametrize("interval", [DAILY, WEEKLY])
def test_intervals(interval):
    """A run is due after the interval, a little early too, but not at half time."""
    request = TrainingRequest(interval=interval)
    ask = lambda passed, samples=5: bool(is_due(request, READY, NOW, NOW - passed, samples))  # noqa: E731
    assert ask(interval)
    assert ask(interval - timedelta(seconds=20))
    assert not ask(interval / 2)
    assert not ask(interval, samples=0)


def test_after_new_samples():
    """Enough new samples are a reason at any time; too few are none where there is no interval."""
    request = TrainingRequest(interval=None, after_new_samples=10)
    assert is_due(request, READY, NOW, NOW - timedelta(minutes=1), 10)
    assert not is_due(request, READY, NOW, NOW - timedelta(days=300), 9)
    either = TrainingRequest(after_new_samples=10)
    assert is_due(either, READY, NOW, NOW - timedelta(days=1), 9)
    assert is_due(either, READY, NOW, NOW - timedelta(minutes=1), 10)


def test_begin_and_expiration():
    """Due from the earliest begin on, until just before the expiration."""
    request = TrainingRequest(earliest_begin=NOW, expiration=NOW + timedelta(hours=2))
    end, second = NOW + timedelta(hours=2), timedelta(seconds=1)
    instants = NOW - second, NOW, end - second, end
    due = [bool(is_due(request, READY, now, None, 1)) for now in instants]
    assert due == [False, True, True, False]


def test_elapsed_time_across_daylight_saving():
    """A day is 24 elapsed hours: the night of the clock change does not cheat either way."""
    berlin = ZoneInfo("Europe/Berlin")
    request = TrainingRequest(flex=timedelta(0))
    before = datetime(2026, 3, 28, 12, 0, tzinfo=berlin)  # clocks go forward in the night after
    assert not is_due(request, READY, datetime(2026, 3, 29, 12, 0, tzinfo=berlin), before, 1)
    assert is_due(request, READY, datetime(2026, 3, 29, 13, 0, tzinfo=berlin), before, 1)


def test_clock_set_back_does_not_stop_training():
    """A last run in the future means a changed clock, not a reason to wait for years."""
    answer = is_due(TrainingRequest(), READY, NOW, NOW + timedelta(days=800), 1)
    assert answer
    assert "clock" in str(answer)


def test_cautious_asks_for_what_platforms_ask():
    """Charging, unmetered, locked, idle: one missing and there is no training."""
    request = TrainingRequest.cautious()
    assert is_due(request, READY, NOW, None, 1)
    for fact in ("external_power", "unmetered_network", "locked", "device_idle"):
        assert not is_due(request, replace(READY, **{fact: False}), NOW, None, 1)


@pytest.mark.parametrize(("name", "arguments"), [
    ("interval", {"interval": timedelta(0)}),
    ("interval", {"interval": None}),
    ("interval", {"interval": 86_400}),
    ("flex", {"flex": 60}),
    ("after_new_samples", {"after_new_samples": 0}),
    ("after_new_samples", {"after_new_samples": float("nan")}),
    ("earliest_begin", {"earliest_begin": ""}),
    ("expiration", {"expiration": "2026-01-01T00:00Z"}),
    ("minimum_new_samples", {"minimum_new_samples": -1}),
    ("flex", {"flex": timedelta(days=1)}),
    ("flex", {"flex": timedelta(seconds=-1)}),
    ("unknown_means", {"unknown_means": "maybe"}),
    ("earliest_begin", {"earliest_begin": datetime(2026, 1, 1)}),
    ("expiration", {"earliest_begin": NOW, "expiration": NOW}),
])  # fmt: skip
def test_bad_requests_are_named(name, arguments):
    """A setting out of range is an error that names it."""
    with pytest.raises(ConfigError, match=name):
        TrainingRequest(**arguments)


def test_bad_arguments_are_named():
    """So is a naive time or a negative count."""
    with pytest.raises(ConfigError, match="now"):
        is_due(TrainingRequest(), READY, datetime(2026, 1, 1))
    with pytest.raises(ConfigError, match="last_run"):
        is_due(TrainingRequest(), READY, NOW, datetime(2026, 1, 1))
    with pytest.raises(ConfigError, match="new_samples"):
        is_due(TrainingRequest(), READY, NOW, None, -1)


def test_words():
    """The answer reads as a sentence."""
    zone = timezone(timedelta(hours=1))
    last = (NOW - timedelta(hours=7)).astimezone(zone)
    assert str(is_due(TrainingRequest(), READY, NOW, last, 2)) == (
        "not due: last trained 7 h ago, every 1 d, 2 new samples"
    )
    assert str(is_due(TrainingRequest(), READY, NOW, None, 0)) == (
        "not due: nothing to learn: 0 new samples, 1 needed"
    )
