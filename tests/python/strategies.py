"""Hypothesis strategies for events: hostile where it is legal, small where it should collide.

Small domains (`instants_us`, `KINDS`, `SUBJECTS`) make duplicates, ties and neighbours common; the
`wild_` ones cover everything that the types allow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from inhabit.events import Event, EventRow, datetime_from_us

KINDS = ("app_opened", "reminder_sent", "reminder_tapped", "habit_completed", "habit_skipped")
SUBJECTS = ("", "meditate", "run")
START_US = 1_772_323_200_000_000  # 2026-03-01T00:00Z; daylight saving begins that month
HOUR_US = 3_600_000_000

kinds = st.sampled_from(KINDS)
subjects = st.sampled_from(SUBJECTS)
values = st.none() | st.floats(allow_nan=False, allow_infinity=False)

# Whole time zones as people live in them, and the odd ones that the type allows.
offsets_s = st.sampled_from([0, 3600, 7200, -18_000, 20_700, 49_500, -12_600])
wild_offsets_s = st.integers(-86_399, 86_399)

instants_us = st.integers(0, 24 * 40).map(lambda hours: START_US + hours * HOUR_US)
wild_instants_us = st.integers(-62_103_801_600_000_000, 253_369_000_000_000_000)  # years 2 to 9998
delays_us = st.sampled_from([0, 0, 0, 1, HOUR_US, 50 * HOUR_US])

# Anything but control characters and lone surrogates.
names = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda c: c >= " " and c != "\x7f"),
    min_size=1,
    max_size=40,
)


def aware(instants=wild_instants_us, offsets=wild_offsets_s):
    """Offset-aware datetimes."""
    return st.builds(
        lambda us, offset: (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)).astimezone(
            timezone(timedelta(seconds=offset))
        ),
        instants,
        offsets,
    )


@st.composite
def rows(draw, kinds=kinds, subjects=subjects, instants=instants_us, offsets=offsets_s):
    """Rows whose ids follow from their content."""
    occurred_at_us = draw(instants)
    offset_s = draw(offsets)
    return EventRow.checked(
        draw(kinds),
        datetime_from_us(occurred_at_us, offset_s),
        subject=draw(subjects),
        recorded_at=datetime_from_us(occurred_at_us + draw(delays_us), offset_s),
        value=draw(values),
    )


wild_rows = rows(
    kinds=names,
    subjects=st.just("") | names,
    instants=wild_instants_us,
    offsets=wild_offsets_s,
)


def events(rows_strategy=None):
    """Events, from rows."""
    return (rows() if rows_strategy is None else rows_strategy).map(Event.from_row)
