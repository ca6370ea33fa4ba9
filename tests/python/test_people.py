"""Simulated people with a known truth: what a prediction costs beyond knowing it.

Regret is the mean over moments of the divergence of the served from the true probability,
``p ln p/q + (1 - p) ln (1 - p)/(1 - q)``: the log loss beyond the unavoidable. The whole path is
taken, from events through moments, features and labels to the walk, with and without the built-in
prior; the yardstick is the running rate ``(s + 1) / (n + 2)`` on the same moments.
"""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from inhabit.events import Event, EventColumns
from inhabit.features import DEFAULT_FEATURES
from inhabit.moments import Schedule
from inhabit.population import walk
from inhabit.priors import prior_for, read
from inhabit.samples import Target, samples

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
ONCE = Schedule()
TWICE = Schedule((time(4), time(15)))
HOUR = {0: 8, 1: 20}  # when it is done, by slot


@pytest.fixture(scope="module", params=["none", "builtin"])
def prior(request):
    return prior_for(read(), DEFAULT_FEATURES) if request.param == "builtin" else None


def person(true, schedule, seed):
    """Return the samples of somebody who does it with these probabilities, moment by moment."""
    random = np.random.default_rng(seed)
    slots = len(schedule.times)
    done = random.random(len(true)) < true
    done[0] = True  # the log begins with the first moment
    times = (
        START + timedelta(t // slots, hours=HOUR[t % slots]) for t in np.flatnonzero(done).tolist()
    )
    columns = EventColumns.from_rows(
        Event(kind="habit_completed", occurred_at=at).row for at in times
    )
    end = START + timedelta(len(true) // slots, hours=4, microseconds=1)
    as_of_us = int(end.timestamp() * 1_000_000)
    return samples(columns, Target(window="next-moment"), schedule, as_of_us=as_of_us)


def divergence(true, said):
    true = np.clip(true, 1e-12, 1 - 1e-12)
    return true * np.log(true / said) + (1 - true) * np.log((1 - true) / (1 - said))


def regrets(truth, schedule, prior, n=6):
    """Return the regret of the model and of the running rate by moment, means over people."""
    own, base = [], []
    for seed in range(n):
        true = truth(np.random.default_rng(1000 + seed))
        table = person(true, schedule, seed)
        known = table.label >= 0
        assert known.sum() == len(true)
        label = table.label[known]
        before = np.cumsum(label) - label
        said = walk(table, prior).probability[known]
        own.append(divergence(true, said))
        base.append(divergence(true, (before + 1) / (np.arange(len(true)) + 2)))
    return np.mean(own, axis=0), np.mean(base, axis=0)


YEAR = 365


@pytest.mark.parametrize("rate", [0.02, 0.98])
def test_rare_and_one_sided_habits_cost_hardly_more_than_counting(rate, prior):
    own, base = regrets(lambda _: np.full(YEAR, rate), ONCE, prior)
    assert own.mean() < base.mean() + 0.006
    assert own[YEAR // 2 :].mean() < 0.008


def test_a_habit_without_a_pattern_costs_hardly_more_than_counting(prior):
    own, base = regrets(lambda random: np.full(YEAR, random.uniform(0.1, 0.9)), ONCE, prior)
    assert own.mean() < base.mean() + 0.009
    assert own[-30:].mean() < 0.008


def test_the_first_days_of_a_stranger_are_no_gamble(prior):
    own, base = regrets(lambda random: np.full(20, random.uniform(0.05, 0.95)), ONCE, prior, n=30)
    assert own.mean() < base.mean() + 0.02  # where there is no pattern, looking for one costs most


def test_somebody_who_stops_for_good_is_believed_within_weeks(prior):
    own, base = regrets(lambda _: np.repeat([0.8, 0.0], 120), ONCE, prior)
    assert own[-30:].mean() < 0.03 < base[-30:].mean()
    assert own.mean() < base.mean() / 4


def test_mornings_that_become_nights_are_followed(prior):
    own, base = regrets(
        lambda _: np.r_[np.tile([0.9, 0.1], 120), np.tile([0.1, 0.9], 120)], TWICE, prior
    )
    assert own[210:240].mean() < 0.03  # learnt before the change
    assert own[-30:].mean() < 0.05 < base[-30:].mean()
    assert own.mean() < base.mean() / 3


def test_the_days_of_the_week_are_learnt(prior):
    own, base = regrets(lambda _: np.where(np.arange(YEAR) % 7 < 5, 0.9, 0.15), ONCE, prior)
    assert own[YEAR // 2 :].mean() < 0.03
    assert own.mean() < base.mean() / 4


def test_years_sharpen_what_is_known(prior):
    own, _ = regrets(lambda _: np.where(np.arange(3 * YEAR) % 7 < 5, 0.7, 0.2), ONCE, prior)
    assert own[YEAR:].mean() < 0.02 < own[:YEAR].mean()


def test_a_slow_drift_is_followed(prior):
    own, base = regrets(lambda _: 0.5 + 0.4 * np.sin(np.arange(2 * YEAR) / 60), ONCE, prior)
    assert own.mean() < 0.05 < base.mean()


def test_what_is_served_by_default_promotes_a_clear_pattern_by_day_90():
    prior = prior_for(read(), DEFAULT_FEATURES)
    weekends_off = np.where(np.arange(90) % 7 < 5, 0.9, 0.1)
    promoted = [
        walk(person(weekends_off, ONCE, seed), prior).model.promotions > 0 for seed in range(40)
    ]
    assert np.mean(promoted) >= 0.9
