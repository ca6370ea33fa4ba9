"""Local days: daylight saving, travel, nights, written out by hand."""

from datetime import UTC, datetime, time, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories import columns, histories, schedules, windows
from inhabit.events import EventRow
from inhabit.exceptions import ConfigError
from inhabit.moments import (
    NEXT_DAY,
    NEXT_MOMENT,
    REST_OF_DAY,
    LocalClock,
    Schedule,
    Window,
    isoformat,
    moment_at,
    moments_between,
    moments_of_log,
)

MARCH_28 = datetime(2026, 3, 28, tzinfo=UTC).toordinal()


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def told(*texts: str) -> LocalClock:
    """The clock of somebody whose events were recorded at these local times."""
    return LocalClock.of_events(
        columns(EventRow.checked("app_opened", datetime.fromisoformat(text)) for text in texts)
    )


def local(moments) -> list[str]:
    pairs = zip(moments.at_us.tolist(), moments.utc_offset_s.tolist(), strict=True)
    return [
        isoformat(at_us, offset_s)[:16] + isoformat(at_us, offset_s)[-6:]
        for at_us, offset_s in pairs
    ]


# --- windows and schedules ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("next-moment", NEXT_MOMENT),
        ("rest_of_day", REST_OF_DAY),
        (" next-day ", NEXT_DAY),
        ("90m", Window("duration", 5_400_000_000)),
        ("6h", Window("duration", 21_600_000_000)),
        ("2d", Window("duration", 172_800_000_000)),
    ],
)
def test_windows_are_read_and_written(text, window):
    assert Window.parse(text) == window
    assert Window.parse(str(window)) == window
    assert Window.parse(window) is window


def test_a_duration_is_a_window():
    assert Window.parse(timedelta(hours=6)) == Window.parse("6h")


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "0h", "-1h", "6", "h", "next day", "1.5h", "367d", "999999d", 6, None]
)
def test_other_windows_are_refused(text):
    with pytest.raises(ConfigError, match="window: expected"):
        Window.parse(text)


def test_slots_are_in_the_order_of_the_local_day():
    schedule = Schedule.parse("00:30,21:00,08:00", day_start="04:00")
    assert schedule.times == (time(8), time(21), time(0, 30))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Schedule(()),
        lambda: Schedule((time(8), time(8))),
        lambda: Schedule(tuple(time(h, m) for h in range(13) for m in (0, 30))),
        lambda: Schedule((time(8, tzinfo=UTC),)),
        lambda: Schedule("08:00"),  # type: ignore[arg-type]
        lambda: Schedule(time(8)),  # type: ignore[arg-type]
        lambda: Schedule(("08:00",)),  # type: ignore[arg-type]
        lambda: Schedule.parse("8 o'clock"),
        lambda: Schedule.parse("08:00", day_start="late"),
    ],
)
def test_other_schedules_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()


# --- days ----------------------------------------------------------------------


def test_what_is_done_at_one_belongs_to_the_day_before():
    schedule = Schedule()
    friday = datetime(2026, 3, 27, tzinfo=UTC).toordinal()
    assert schedule.local_day(us("2026-03-28T01:00:00+01:00"), 3_600) == friday
    assert schedule.local_day(us("2026-03-28T04:00:00+01:00"), 3_600) == friday + 1


def test_clocks_go_forward():
    """The night of 29 March has 23 hours; the phone knows once something is recorded in it."""
    clock = told("2026-03-28T20:00+01:00", "2026-03-29T03:30+02:00", "2026-03-29T20:00+02:00")
    moments = moments_between(
        clock, Schedule.parse("04:00,22:00"), NEXT_MOMENT, MARCH_28, MARCH_28 + 1
    )
    assert local(moments) == [
        "2026-03-28T04:00+01:00",
        "2026-03-28T22:00+01:00",
        "2026-03-29T04:00+02:00",
        "2026-03-29T22:00+02:00",
    ]
    hours = (moments.window_end_us - moments.window_start_us) / 3.6e9
    assert hours.tolist() == [18, 5, 18, 6]


def test_a_time_that_the_clock_skips_comes_with_the_jump():
    clock = told("2026-03-28T20:00+01:00", "2026-03-29T03:00+02:00")  # 02:30 does not exist
    schedule = Schedule((time(2, 30),), time(0))
    (at,) = moments_between(clock, schedule, NEXT_MOMENT, MARCH_28 + 1, MARCH_28 + 1).at_us
    assert at == us("2026-03-29T03:00+02:00") + 1


def test_a_time_that_comes_twice_counts_the_first_time():
    clock = told("2026-10-24T20:00+02:00", "2026-10-25T02:00+01:00")  # 02:30 comes at +2 and at +1
    schedule = Schedule((time(2, 30),), time(0))
    day = datetime(2026, 10, 25, tzinfo=UTC).toordinal()
    assert local(moments_between(clock, schedule, NEXT_MOMENT, day, day)) == [
        "2026-10-25T02:30+02:00"
    ]


def test_a_flight_east_skips_moments_and_the_last_of_them_remains():
    """From Berlin to Tokyo overnight: 08:00 and 12:00 pass in the air, 18:00 does not."""
    clock = told("2026-03-28T20:00+01:00", "2026-03-29T13:00+09:00")
    moments = moments_between(
        clock, Schedule.parse("08:00,12:00,18:00"), REST_OF_DAY, MARCH_28 + 1, MARCH_28 + 1
    )
    assert moments.slot.tolist() == [1, 2]
    assert moments.at_us[0] == us("2026-03-29T13:00+09:00") + 1
    assert local(moments)[1] == "2026-03-29T18:00+09:00"
    assert moments.window_end_us[0] == us("2026-03-30T04:00+09:00")


def test_a_flight_west_makes_a_long_day_without_repeating_a_moment():
    clock = told("2026-03-28T10:00+01:00", "2026-03-28T13:00-08:00")  # 22:00 in Berlin
    moments = moments_between(clock, Schedule.parse("08:00,18:00"), REST_OF_DAY, MARCH_28, MARCH_28)
    assert local(moments) == ["2026-03-28T08:00+01:00", "2026-03-28T18:00+01:00"]
    assert moments.window_end_us[1] == us("2026-03-29T04:00-08:00")


def test_the_event_recorded_last_tells_the_time():
    late = EventRow.checked(
        "a",
        datetime.fromisoformat("2026-03-28T10:00+01:00"),
        recorded_at=datetime.fromisoformat("2026-03-28T18:00+01:00"),
    )
    early = EventRow.checked("b", datetime.fromisoformat("2026-03-28T21:00+09:00"))
    clock = LocalClock.of_events(columns([late, early]))
    at = np.array([us("2026-03-28T12:00Z"), us("2026-03-28T12:01Z"), us("2026-03-28T17:01Z")])
    assert clock.offset_at(at).tolist() == [32_400, 32_400, 3_600]


# --- windows of moments ----------------------------------------------------------


def test_windows_of_an_ordinary_day():
    clock = told("2026-03-28T10:00+01:00")

    def window(name):
        moments = moments_between(
            clock, Schedule.parse("08:00,20:00"), Window.parse(name), MARCH_28, MARCH_28
        )
        starts, ends = moments.window_start_us.tolist(), moments.window_end_us.tolist()
        return [
            (isoformat(a, 3_600)[8:13], isoformat(b, 3_600)[8:13])
            for a, b in zip(starts, ends, strict=True)
        ]

    assert window("next-moment") == [("28T08", "28T20"), ("28T20", "29T08")]
    assert window("rest-of-day") == [("28T08", "29T04"), ("28T20", "29T04")]
    assert window("next-day") == [("29T04", "30T04"), ("29T04", "30T04")]
    assert window("3h") == [("28T08", "28T11"), ("28T20", "28T23")]


def test_weekday_of_the_window():
    clock = told("2026-03-27T10:00+01:00")
    friday = MARCH_28 - 1
    for window, weekday in ((NEXT_MOMENT, 4), (REST_OF_DAY, 4), (NEXT_DAY, 5)):
        moments = moments_between(clock, Schedule(), window, friday, friday)
        assert moments.weekday.tolist() == [4]
        assert moments.window_weekday.tolist() == [weekday]


@given(histories, schedules, windows)
def test_moments_run_from_the_first_event_to_the_last(rows, schedule, window):
    moments = moments_of_log(columns(rows), schedule, window)
    first = min(row.recorded_at_us for row in rows)
    last = max(row.recorded_at_us for row in rows)
    assert (np.diff(moments.at_us) > 0).all()
    assert (moments.window_end_us > first).all()
    assert (moments.window_start_us <= last).all()
    assert (moments.window_end_us > moments.at_us).all()
    if window == NEXT_MOMENT:  # no gaps: every event lies in exactly one window
        assert moments.window_start_us[0] <= first
        assert moments.window_end_us[-1] > last
        assert (moments.window_end_us[:-1] == moments.window_start_us[1:]).all()


def test_no_events_no_moments():
    assert len(moments_of_log(columns([]), Schedule(), NEXT_MOMENT)) == 0


@given(histories, schedules, windows)
def test_a_moment_of_the_schedule_is_the_moment_at_its_instant(rows, schedule, window):
    events = columns(rows)
    clock = LocalClock.of_events(events)
    moments = moments_of_log(events, schedule, window)
    for i, at_us in enumerate(moments.at_us.tolist()):
        expected = moments[i : i + 1]
        alone = moment_at(clock, schedule, window, at_us, int(expected.utc_offset_s[0]))
        assert alone.slot == expected.slot
        assert alone.day == expected.day
        assert alone.day_start_us == expected.day_start_us


@given(st.integers(0, 10**6))
def test_any_instant_has_a_moment(minutes):
    now_us = us("2026-03-28T00:00+01:00") + minutes * 60_000_000
    schedule = Schedule.parse("08:00,20:00")
    at = moment_at(LocalClock.fixed(3_600), schedule, REST_OF_DAY, now_us, 3_600)
    assert at.day_start_us[0] <= now_us < at.window_end_us[0]
    assert at.window_end_us[0] - at.day_start_us[0] == 86_400_000_000
    hour = datetime.fromtimestamp(now_us / 1e6, timezone(timedelta(hours=1))).hour
    assert at.slot[0] == (1 if hour >= 20 or hour < 4 else 0)
