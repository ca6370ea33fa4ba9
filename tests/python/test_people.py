"""Simulated people with a known truth: what a prediction costs beyond knowing it.

Regret is the mean over moments of the divergence of the served from the true probability,
``p ln p/q + (1 - p) ln (1 - p)/(1 - q)``: the log loss beyond the unavoidable. The whole path is
taken, from events through moments, features and labels to the walk, with and without the built-in
prior; the yardstick is the running rate ``(s + 1) / (n + 2)`` on the same moments.
"""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from inhabit._native import EXPERTS
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


def regrets(truth, schedule, prior, n=30):
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
    assert own[YEAR // 2 :].mean() < 0.007


def test_a_habit_without_a_pattern_costs_hardly_more_than_counting(prior):
    own, base = regrets(lambda random: np.full(YEAR, random.uniform(0.1, 0.9)), ONCE, prior)
    assert own.mean() < base.mean() + 0.009
    assert own[-30:].mean() < 0.007


def test_the_first_days_of_a_stranger_are_no_gamble(prior):
    own, base = regrets(lambda random: np.full(20, random.uniform(0.05, 0.95)), ONCE, prior, n=200)
    assert own[0] < base[0] + 0.001  # day 0: nothing is known
    assert own.mean() < base.mean() + 0.015  # where there is no pattern, looking for one costs most


def test_somebody_who_stops_for_good_is_believed_within_weeks(prior):
    own, base = regrets(lambda _: np.repeat([0.8, 0.0], 120), ONCE, prior)
    assert own[-30:].mean() < 0.01 < base[-30:].mean()
    assert own.mean() < base.mean() / 8


def test_mornings_that_become_nights_are_followed(prior):
    own, base = regrets(
        lambda _: np.r_[np.tile([0.9, 0.1], 120), np.tile([0.1, 0.9], 120)], TWICE, prior
    )
    assert own[210:240].mean() < 0.02  # learnt before the change
    assert own[-30:].mean() < 0.03 < base[-30:].mean()
    assert own.mean() < base.mean() / 5


def test_the_days_of_the_week_are_learnt(prior):
    own, base = regrets(lambda _: np.where(np.arange(YEAR) % 7 < 5, 0.9, 0.15), ONCE, prior)
    assert own[YEAR // 2 :].mean() < 0.025
    assert own.mean() < base.mean() / 4


def test_evenings_instead_of_mornings_at_weekends_are_learnt(prior):
    day, slot = np.divmod(np.arange(2 * 180), 2)
    own, base = regrets(lambda _: np.where((day % 7 >= 5) == (slot == 1), 0.9, 0.1), TWICE, prior)
    assert own[180:].mean() < 0.035
    assert own.mean() < base.mean() / 4


@pytest.mark.parametrize("cycle", [2, 3])
def test_somebody_who_comes_every_second_or_third_day_is_due(cycle, prior):
    own, base = regrets(lambda _: np.where(np.arange(180) % cycle == 0, 0.95, 0.05), ONCE, prior)
    assert own.mean() < base.mean() / 2
    assert own[90:].mean() < base[90:].mean() / 3


def test_years_sharpen_what_is_known(prior):
    own, _ = regrets(lambda _: np.where(np.arange(3 * YEAR) % 7 < 5, 0.7, 0.2), ONCE, prior, n=10)
    assert own[YEAR:].mean() < 0.02 < own[:YEAR].mean()


def test_a_slow_drift_is_followed(prior):
    own, base = regrets(lambda _: 0.5 + 0.4 * np.sin(np.arange(2 * YEAR) / 60), ONCE, prior, n=10)
    assert own.mean() < 0.05 < base.mean()


FIVE = Schedule(tuple(time(hour) for hour in (5, 9, 13, 17, 21)))


def rest_of_day_regret(hazard, prior, n=8):
    """Return the mean regret where each moment asks about the rest of the day.

    ``hazard`` is the probability that it is done between a moment and the next.
    """
    hazard = np.asarray(hazard)
    days = 200
    true = 1 - np.cumprod(1 - hazard[::-1])[::-1]
    own = []
    for seed in range(n):
        done = np.random.default_rng(seed).random((days, len(hazard))) < hazard
        done[0, -1] = True  # the log begins with the first day
        columns = EventColumns.from_rows(
            Event(
                kind="habit_completed",
                occurred_at=START + timedelta(int(day), hours=FIVE.times[slot].hour + 1),
            ).row
            for day, slot in np.argwhere(done)
        )
        as_of_us = int((START + timedelta(days, hours=4)).timestamp() * 1_000_000)
        table = samples(columns, Target(window="rest-of-day"), FIVE, as_of_us=as_of_us)
        known = table.label >= 0
        said = walk(table, prior).probability[known]
        own.append(divergence(true[table.slot[known]], said).mean())
    return np.mean(own)


def test_an_evening_asked_about_five_times_a_day_is_one_outcome(prior):
    assert rest_of_day_regret([0, 0, 0, 0, 0.5], prior) < 0.035


def test_a_morning_habit_is_learnt_by_the_time_of_day(prior):
    assert rest_of_day_regret([0.6, 0.1, 0.05, 0.1, 0.1], prior) < 0.045


# --- the gate, on the default path -------------------------------------------------------------

PERSONAL, CHAMPION = EXPERTS.index("personal"), EXPERTS.index("prior")  # until a promotion


def promotion(true, prior, seed):
    """Return whether a personal network was promoted, and whether that was an improvement."""
    walked = walk(person(true, ONCE, seed), prior)
    served = walked.promotions[: len(true)] == 1
    new, old = (walked.experts[: len(true), expert][served] for expert in (PERSONAL, CHAMPION))
    gain = divergence(true[served], old) - divergence(true[served], new)
    return served.any(), served.any() and gain.mean() > 0


def test_a_clear_pattern_is_promoted_by_day_90(prior):
    weekends_off = np.where(np.arange(90) % 7 < 5, 0.9, 0.1)
    promoted, improved = zip(*(promotion(weekends_off, prior, k) for k in range(100)), strict=True)
    assert np.mean(promoted) >= 0.9
    assert improved == promoted


def test_noise_is_not_promoted(prior):
    rates = np.random.default_rng(0).uniform(0.03, 0.97, 1000)
    found = (promotion(np.full(120, rate), prior, seed) for seed, rate in enumerate(rates))
    assert sum(promoted and not improved for promoted, improved in found) <= 50
