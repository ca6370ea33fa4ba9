"""What the time of day adds: shares that only shrink, and Bayes' rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhabit.timing import first_delays, share_to_come, still_to_come

HOUR = 3_600_000_000
DAY = 24 * HOUR
delays = st.lists(st.integers(0, DAY - 1), max_size=64).map(
    lambda d: np.sort(np.array(d, np.int64))
)
probabilities = st.floats(0.001, 0.999)


@given(delays, st.integers(1, 25 * HOUR), st.lists(st.integers(-HOUR, 25 * HOUR), min_size=2))
def test_less_and_less_is_to_come(delays_us, length_us, elapsed):
    """The share is in [0, 1], never grows with time, is 1 before the window and 0 at its end."""
    elapsed = sorted(min(time, length_us) for time in elapsed)
    inside = delays_us[delays_us < length_us]
    shares = [share_to_come(inside, length_us, time) for time in elapsed]
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares, reverse=True)
    assert share_to_come(inside, length_us, 0) == 1.0
    assert share_to_come(inside, length_us, length_us) == 0.0


@given(probabilities, st.floats(0, 1), st.floats(0, 1))
def test_bayes(probability, share, less):
    """Nothing seen yet: never more likely than before, and the rule of Bayes as it is written."""
    updated = still_to_come(probability, share)
    assert 0 <= updated <= probability * (1 + 1e-12)
    assert still_to_come(probability, share * less) <= updated * (1 + 1e-12)
    assert still_to_come(probability, 1.0) == probability
    later, not_at_all = probability * share, 1 - probability
    assert updated == pytest.approx(later / (later + not_at_all), rel=1e-12)


@given(st.lists(st.integers(-90 * DAY, 30 * DAY), max_size=80), st.integers(HOUR, 25 * HOUR))
def test_first_of_each_day(completed, length_us):
    """One delay for each earlier day with a completion in the hours of the window: its first."""
    slow: dict[int, int] = {}
    for time in completed:
        day, delay = divmod(time, DAY)
        if day < 0 and delay < length_us:
            slow[day] = min(delay, slow.get(day, DAY))
    told = first_delays(np.array(completed, np.int64), 0, length_us)
    assert told.tolist() == sorted(slow.values())


def test_long_windows_know_only_what_is_left():
    """Of a window of three days the hours of the day say nothing."""
    assert len(first_delays(np.array([-HOUR]), 0, 3 * DAY)) == 0
    assert share_to_come(np.empty(0, np.int64), 3 * DAY, DAY) == 2 / 3


def test_the_truth_is_found():
    """Against counting, over many days of somebody who follows a known law."""
    random = np.random.default_rng(0)
    done, when = random.random(200_000) < 0.6, random.integers(0, DAY, 200_000)
    for hour in (3, 12, 22):
        open_still = ~(done & (when < hour * HOUR))
        truth = (done & open_still).sum() / open_still.sum()
        assert abs(still_to_come(0.6, 1 - hour / 24) - truth) < 0.01
