"""The simulated person: repeatable, and as likely to do it as the truth says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from inhabit.simulation import PARTS, SimulatedDevice, SimulatedPerson


def lived(seed, days=200, *, remind=False):
    """Return the events, the truths at the beginning of each day, and whether it was done."""
    events, truths, done = [], [], []
    for day in SimulatedPerson(seed, days=days).live():
        truths.append(day.truth(0))
        for part in range(len(PARTS)):
            if remind:
                day.remind(part)
            events += day.live(part)
        done.append(day.done_at is not None)
    return events, np.array(truths), np.array(done)


def test_same_seed_same_life():
    """Everything follows from the seed."""
    assert lived(1, 30)[0] == lived(1, 30)[0]
    assert lived(1, 30)[0] != lived(2, 30)[0]


def test_the_truth_is_true():
    """Over many lives the outcomes are as frequent as the truth says, also where it is extreme."""
    lives = [lived(seed, 100) for seed in range(60)]
    truth = np.concatenate([truths for _, truths, _ in lives])
    done = np.concatenate([outcomes for *_, outcomes in lives])
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.8), (0.8, 1.0)):
        here = (truth >= low) & (truth < high)
        deviation = np.sqrt((truth[here] * (1 - truth[here])).sum())
        assert here.sum() > 50
        assert abs(done[here].sum() - truth[here].sum()) < 4 * deviation


def test_reminders_help():
    """Who is reminded does it more often; the reminders are on record."""
    with_, without = (
        sum(lived(seed, 100, remind=remind)[2].sum() for seed in range(5))
        for remind in (True, False)
    )
    assert with_ > without
    kinds = {event.kind for event in lived(1, 50, remind=True)[0]}
    assert {"reminder_sent", "reminder_tapped", "habit_completed", "app_opened"} <= kinds


def test_events_are_recorded_in_order_and_after_they_happen():
    """A life can be told event by event; some of it is entered late; offsets change."""
    events = lived(3, 365)[0]
    recorded = [event.recorded_at.astimezone(UTC) for event in events]
    assert recorded == sorted(recorded)
    assert all(event.recorded_at >= event.occurred_at for event in events)
    assert len({event.occurred_at.utcoffset() for event in events}) >= 3


@pytest.mark.parametrize("seed", range(3))
def test_the_device_is_charged_most_nights(seed):
    """At night it is idle and locked, and mostly on power; by day it is not."""
    device = SimulatedDevice(seed)
    nights = [
        device(datetime.combine(date(2026, 1, 1) + timedelta(days=day), PARTS[0], UTC))
        for day in range(200)
    ]
    charged = sum(bool(state.external_power) for state in nights)
    assert 130 < charged < 190
    assert all(state.locked and state.device_idle for state in nights)
    assert not device(datetime(2026, 1, 1, 12, tzinfo=UTC)).external_power
