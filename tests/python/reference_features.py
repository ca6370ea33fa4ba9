"""The oracle of moments, labels and features: slow, plain Python, one moment at a time.

Written from the definitions, not from `inhabit.features`: it filters the events that a moment may
see, then counts in loops. No numpy, except for the last rounding to float32.
"""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np

DAY_US = 86_400_000_000
EPOCH = date(1970, 1, 1).toordinal()
HISTORY = 128


@dataclass(frozen=True)
class Moment:
    at_us: int
    utc_offset_s: int
    slot: int
    day: int
    day_start_us: int
    window_start_us: int
    window_end_us: int


def seen_us(row):
    return max(row.occurred_at_us, row.recorded_at_us)


# --- local time --------------------------------------------------------------


def segments(rows):
    """(from, until, offset): the offset in force at from < t <= until."""
    by_record = sorted(rows, key=lambda r: (r.recorded_at_us, r.occurred_at_us, r.id))
    told = {r.recorded_at_us: r.utc_offset_s for r in by_record}  # the last of an instant counts
    instants = sorted(told)
    first = [(-(10**20), instants[0], told[instants[0]])]
    untils = [*instants[1:], 10**20]
    return first + [(t, u, told[t]) for t, u in zip(instants, untils, strict=True)]


def first_instant(clock, local_us):
    """The first instant at which the local clock shows at least `local_us`."""
    for begin, end, offset in clock:
        at = max(local_us - offset * 1_000_000, begin + 1)
        if at <= end:
            return at
    raise AssertionError


def offset_at(clock, at_us):
    return next(offset for begin, end, offset in clock if begin < at_us <= end)


# --- moments -----------------------------------------------------------------


def day_start(clock, schedule, day):
    midnight = (day - EPOCH) * DAY_US
    return first_instant(clock, midnight + time_us(schedule.day_start))


def time_us(time):
    seconds = (time.hour * 60 + time.minute) * 60 + time.second
    return seconds * 1_000_000 + time.microsecond


def grid(clock, schedule, window, first_day, last_day):
    """All moments of the local days from first to last."""
    points = []  # (at, slot or None for the end of a day, day)
    for day in range(first_day, last_day + 3):
        for slot, time in enumerate(schedule.times):
            since = (time_us(time) - time_us(schedule.day_start)) % DAY_US
            local = (day - EPOCH) * DAY_US + time_us(schedule.day_start) + since
            points.append((first_instant(clock, local), slot, day))
        points.append((day_start(clock, schedule, day + 1), None, day))
    kept = [
        (at, slot, day)
        for (at, slot, day), (following, _, _) in pairwise(points)
        if slot is not None and at < following
    ]
    moments = []
    for index, (at, slot, day) in enumerate(kept):
        if day > last_day:
            break
        start, end = {
            "next-moment": lambda at=at, index=index: (at, kept[index + 1][0]),
            "rest-of-day": lambda at=at, day=day: (at, day_start(clock, schedule, day + 1)),
            "next-day": lambda day=day: (
                day_start(clock, schedule, day + 1),
                day_start(clock, schedule, day + 2),
            ),
            "duration": lambda at=at: (at, at + window.duration_us),
        }[window.name]()
        began = day_start(clock, schedule, day)
        moments.append(Moment(at, offset_at(clock, at), slot, day, began, start, end))
    return moments


def all_moments(rows, schedule, target, *instants_us):
    """A grid that surely covers everything the events, or some instants, could touch."""
    clock = segments(rows)
    first = min([*instants_us, *(r.occurred_at_us for r in rows)])
    last = max([*instants_us, *(seen_us(r) for r in rows)])
    reach = target.window.duration_us // DAY_US + 4
    first_day, last_day = first // DAY_US + EPOCH - reach, last // DAY_US + EPOCH + 4
    return grid(clock, schedule, target.window, first_day, last_day)


def concerning(rows, target):
    """The events about the target's subject, and those about none: they concern every subject."""
    return [r for r in rows if r.subject in (target.subject, "")]


def begun(rows, target, decided_us=None):
    """What a subject may begin with, as (occurred, seen): events about it, the first decision."""
    instants = [(r.occurred_at_us, seen_us(r)) for r in rows if r.subject == target.subject]
    if rows and decided_us is not None:
        # Before the first record nobody knows the local time.
        at_us = max(decided_us, min(r.recorded_at_us for r in rows))
        instants.append((at_us, at_us))
    return instants


def replayed_moments(rows, schedule, target, decided_us=None):
    instants = begun(rows, target, decided_us)
    if not instants:
        return []
    first = min(seen for _, seen in instants)
    last = max([first, *map(seen_us, concerning(rows, target))])
    return [
        m
        for m in all_moments(rows, schedule, target, first, last)
        if m.window_end_us > first and m.window_start_us <= last
    ]


# --- labels ------------------------------------------------------------------


def told_by(rows, target, at_us):
    """The events that say something about the target, and were seen before an instant."""
    kinds = (target.kind, target.skip_kind)
    about = [r for r in rows if r.subject == target.subject and r.kind in kinds]
    return [r for r in about if seen_us(r) < at_us]


def label_at(told, target, moment, at_us):
    """The label of a window, given what was seen by an instant."""
    start, end = moment.window_start_us, moment.window_end_us
    inside = {r.kind for r in told if start <= r.occurred_at_us < end}
    if target.once and any(
        r.kind == target.kind
        and moment.day_start_us <= r.occurred_at_us < start
        and seen_us(r) < matures_at(target, moment)
        for r in told
    ):
        return -1
    if target.kind in inside:
        return 1
    if target.skip_kind in inside:
        return 0
    if target.missing == "negative" and matures_at(target, moment) <= at_us:
        return 0
    return -1


def matures_at(target, moment):
    return moment.window_end_us + target.grace_us


def label(rows, target, moment):
    """The label in the end: as known when it matured, or at the end of the log."""
    end = max(map(seen_us, rows)) + 1
    then = min(end, matures_at(target, moment))
    return label_at(told_by(rows, target, then), target, moment, then)


# --- features ----------------------------------------------------------------


def closed_windows(rows, target, moments, now, decided_us=None):
    """(label, window) of the last closed windows, the latest first."""
    known = [at for at, seen in begun(rows, target, decided_us) if seen < now.at_us]
    closed = [m for m in moments if matures_at(target, m) <= now.at_us]
    inside = [m for m in closed[-HISTORY:] if known and m.window_end_us > min(known)]
    told = told_by(rows, target, now.at_us)
    return [(label_at(told, target, m, now.at_us), m) for m in reversed(inside)]


def count_today(rows, target, kind, now):
    return sum(
        r.kind == kind
        and r.subject in (target.subject, "")
        and seen_us(r) < now.at_us
        and r.occurred_at_us >= now.day_start_us
        for r in rows
    )


def default_features(rows, target, moments, now, decided_us=None):
    closed = closed_windows(rows, target, moments, now, decided_us)
    past = [(y, m) for y, m in closed if y != -1]
    labels = [y for y, _ in past]
    long_rate = (sum(labels) + 1) / (len(labels) + 2)

    streak = next((i for i, y in enumerate(labels) if y == 0), len(labels))
    month = [y for y, m in past if now.day - m.day <= 30]

    until_first = max((i + 1 for i, (y, _) in enumerate(closed) if y != -1), default=0)
    lapse = next((i for i, (y, _) in enumerate(closed) if y == 1), until_first)

    def shrunk(labels, strength, towards=long_rate):
        return (sum(labels) + strength * towards) / (len(labels) + strength)

    def is_weekend(m):
        window_day = m.day + (m.window_start_us > m.at_us)
        return date.fromordinal(window_day).weekday() >= 5

    local_us = now.at_us + now.utc_offset_s * 1_000_000
    same_slot = [(y, m) for y, m in past if m.slot == now.slot]
    of_slot = shrunk([y for y, _ in same_slot], 4)
    values = [
        min(streak, 30) / 30,
        (sum(month) + 1) / (len(month) + 2),
        (c := count_today(rows, target, "app_opened", now)) / (c + 3),
        (c := count_today(rows, target, "reminder_tapped", now)) / (c + 3),
        local_us % DAY_US / DAY_US,
        of_slot,
        shrunk([y for y, m in past if (now.day - m.day) % 7 == 0], 6),
        shrunk([y for y, m in same_slot if is_weekend(m) == is_weekend(now)], 4, of_slot),
        float(is_weekend(now)),
        lapse / (lapse + 3),
    ]
    return np.array(values, np.float64).astype(np.float32)
