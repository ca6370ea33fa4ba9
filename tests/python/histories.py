"""Hypothesis strategies: histories of one person, with all that can happen to a clock."""

from datetime import time, timedelta

from hypothesis import strategies as st

from inhabit.events import EventColumns, EventRow, StoredDecision
from inhabit.moments import NEXT_DAY, NEXT_MOMENT, REST_OF_DAY, Schedule, Window
from inhabit.targets import Target

MINUTE_US = 60_000_000
START_US = 1_772_323_200_000_000  # 2026-03-01T00:00Z, a Sunday

KINDS = ("habit_completed", "habit_skipped", "app_opened", "reminder_tapped", "temperature")
OFFSETS_S = (3_600, 7_200, -18_000, 32_400, 20_700)
DELAYS_US = (0, 0, 0, 1, 90 * MINUTE_US, 30 * 60 * MINUTE_US)

schedules = st.sampled_from(
    (
        Schedule(),
        Schedule((time(4), time(15))),
        Schedule((time(8), time(12), time(18), time(22, 30)), time(3)),
        Schedule((time(0, 30), time(21)), time(4)),
        Schedule((time(6),), time(0)),
    )
)
windows = st.sampled_from(
    (NEXT_MOMENT, REST_OF_DAY, NEXT_DAY, Window.parse("3h"), Window.parse("2d"))
)


@st.composite
def targets(draw):
    window = draw(windows)
    return Target(
        subject="meditate",
        window=window,
        missing=draw(st.sampled_from(("negative", "unknown"))),
        grace=draw(st.sampled_from((timedelta(0), timedelta(hours=5)))),
        once=window != NEXT_DAY and draw(st.booleans()),
    )


@st.composite
def rows(draw, days=12, offsets=OFFSETS_S):
    """One event; half of the times are full hours, so that they meet moments and windows."""
    hour = draw(st.integers(0, days * 24))
    minute = draw(st.sampled_from((0, 0, 0, 1, 59)))
    occurred_at_us = START_US + (hour * 60 + minute) * MINUTE_US
    kind = draw(st.sampled_from(KINDS))
    return EventRow(
        id=f"{draw(st.integers(0, 10**9)):09}",
        subject=draw(st.sampled_from(("meditate", "meditate", "meditate", "", "run"))),
        kind=kind,
        occurred_at_us=occurred_at_us,
        utc_offset_s=draw(st.sampled_from(offsets)),
        recorded_at_us=occurred_at_us + draw(st.sampled_from(DELAYS_US)),
        value=draw(st.sampled_from((None, -5.0, 12.5))) if kind == "temperature" else None,
    )


@st.composite
def travellers(draw, max_size=25):
    """Histories in which every event may be in another time zone, in any order of recording."""
    return draw(st.lists(rows(), min_size=1, max_size=max_size, unique_by=lambda row: row.id))


@st.composite
def residents(draw, max_size=40):
    """Histories of people who stay, but for daylight saving in the middle."""
    events = draw(
        st.lists(
            rows(offsets=(3_600,)), min_size=1, max_size=max_size, unique_by=lambda row: row.id
        )
    )
    change_us = START_US + 6 * 1_440 * MINUTE_US
    return [
        row._replace(utc_offset_s=7_200) if row.recorded_at_us >= change_us else row
        for row in events
    ]


histories = travellers() | residents()


def columns(events):
    return EventColumns.from_rows(events)


decided = st.none() | st.integers(-2, 14 * 24).map(lambda hour: START_US + hour * 60 * MINUTE_US)
"""When the first decision about the subject was made, if one was made."""


def decision(at_us, subject="meditate"):
    return StoredDecision(
        subject=subject,
        at_us=at_us,
        utc_offset_s=0,
        slot=0,
        window_start_us=at_us,
        window_end_us=at_us + 1,
        action="wait",
        probability=0.5,
        propensity=1.0,
        generation=0,
        reasons=(),
        features=None,
        zone="middle",
    )


@st.composite
def years(draw, max_size=60):
    """Histories that are longer than what a feature looks back on, if there are moments enough."""
    return draw(
        st.lists(rows(days=80), min_size=1, max_size=max_size, unique_by=lambda row: row.id)
    )
