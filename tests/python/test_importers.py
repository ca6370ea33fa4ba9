"""Importers: what is read, what is refused and why, and that nothing is read twice."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies as some
from inhabit import importers
from inhabit.events import EventColumns, EventLog, EventRow
from inhabit.exceptions import ImportFailure
from inhabit.importers import BadRow, collect, import_records

HEADER = "user,subject,occurred_at,kind,value\n"
PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def log():
    with EventLog(":memory:") as log:
        yield log


@pytest.fixture
def write(tmp_path):
    def write(text, name="events.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def rows_of(records):
    records = list(records)
    assert not [record for record in records if isinstance(record, BadRow)]
    return [record.row for record in records]


def reasons_of(records):
    return [(bad.line, bad.reason) for bad in records if isinstance(bad, BadRow)]


# --- the neutral formats -----------------------------------------------------------


@pytest.mark.parametrize("name", ["events.csv", "events.jsonl"])
@given(rows=st.lists(some.wild_rows, max_size=15), user=st.just("") | some.names)
def test_what_is_exported_comes_back(tmp_path_factory, name, rows, user):
    path = tmp_path_factory.mktemp("export") / name
    events = EventColumns.from_rows(rows)
    write = importers.write_csv if name.endswith("csv") else importers.write_jsonl
    with path.open("w", encoding="utf-8", newline="") as file:
        write(file, events, user=user)
    records = list(importers.read_file(path))
    assert [record.row for record in records] == list(events.rows())
    assert {record.user for record in records} <= {user}


def test_the_columns_of_the_issue(write, log):
    path = write(
        HEADER + "ann,meditate,2026-03-01T07:30:00+01:00,habit_completed,\n"
        "ann,,2026-03-01T06:00:00Z,app_opened,\n"
        "ann,run,2026-03-01T20:15:00.25-05:00,habit_completed,5.5\n"
    )
    report = import_records(log, importers.read_file(path))
    assert (report.read, report.added, report.known, report.bad) == (3, 3, 0, 0)
    events = list(log.events())
    assert [event.subject for event in events] == ["", "meditate", "run"]
    assert events[1].occurred_at == events[1].recorded_at
    assert events[1].occurred_at.isoformat() == "2026-03-01T07:30:00+01:00"
    assert events[2].occurred_at.utcoffset() == timedelta(hours=-5)
    assert [event.value for event in events] == [None, None, 5.5]


def test_columns_in_any_order_with_others_between(write):
    path = write(
        "\ufeffKind; ID ;mood;recorded_at;occurred_at\r\n"
        "app_opened;e1;good;2026-03-02T00:00:00Z;2026-03-01T06:00:00Z\r\n"
        "\r\n"
        "app_opened;;;;2026-03-01T06:00:00Z\r\n"
    )
    known, unknown = rows_of(importers.read_csv(path))
    assert (known.id, known.subject) == ("e1", "")
    assert known.recorded_at_us - known.occurred_at_us == 18 * some.HOUR_US
    assert unknown.recorded_at_us == unknown.occurred_at_us
    assert unknown.value is None


def test_blanks_around_cells_are_not_part_of_them(write):
    path = write(
        "user , subject, occurred_at, kind, value\n"
        "ann, run , 2026-03-01T06:00:00Z, habit_completed , 2.5 \n"
        'ann, "run, fast", 2026-03-02T06:00:00Z,\thabit_completed\u00a0, \n'
        " , , , , \n"
    )
    records = list(importers.read_csv(path))
    run, fast = rows_of(records)
    assert {record.user for record in records} == {"ann"}
    assert (run.subject, run.kind, run.value) == ("run", "habit_completed", 2.5)
    assert (fast.subject, fast.kind, fast.value) == ("run, fast", "habit_completed", None)


def test_blanks_in_a_file_with_a_quoted_header_are_meant(write):
    path = write('"occurred_at","kind","subject"\n"2026-03-01T06:00:00Z","x"," run "\n')
    (row,) = rows_of(importers.read_csv(path))
    assert row.subject == " run "


def test_names_with_blanks_around_them_come_back(tmp_path):
    at = datetime(2026, 3, 1, tzinfo=UTC)
    events = EventColumns.from_rows(
        EventRow.checked("x", at, subject=name) for name in ("run ", "\u2003run", " ", "")
    )
    with (tmp_path / "events.csv").open("w", encoding="utf-8", newline="") as file:
        importers.write_csv(file, events)
    assert rows_of(importers.read_csv(tmp_path / "events.csv")) == list(events.rows())


@pytest.mark.parametrize("name", ["events.csv", "events.jsonl"])
def test_two_clocks_that_disagree_lose_nothing(write, name):
    """What was recorded, as another clock says, before it happened was recorded as it happened."""
    texts = {
        "events.csv": "occurred_at,recorded_at,kind\n"
        "2026-03-01T07:00:01+01:00,2026-03-01T06:00:00Z,x\n",
        "events.jsonl": '{"occurred_at": "2026-03-01T07:00:01+01:00", '
        '"recorded_at": "2026-03-01T06:00:00Z", "kind": "x"}\n',
    }
    (row,) = rows_of(importers.read_file(write(texts[name], name)))
    assert row.recorded_at_us == row.occurred_at_us
    assert row.utc_offset_s == 3_600


def test_importing_twice_adds_nothing(write, log):
    text = HEADER + "".join(
        f"ann,run,2026-03-{day:02}T07:30:00+01:00,habit_completed,\n" for day in range(1, 31)
    )
    assert import_records(log, importers.read_csv(write(text))).added == 30
    again = import_records(log, importers.read_csv(write(text, "again.csv")))
    assert (again.added, again.known) == (0, 30)
    rows = text.splitlines(keepends=True)
    longer = write("".join([rows[0], *rows[:0:-1], rows[1]]) + "ann,run,2026-04-01T06:00Z,x,\n")
    report = import_records(log, importers.read_csv(longer))
    assert (report.added, report.known, log.count()) == (1, 31, 31)


BAD_ROWS = [
    (
        "ann,run,2026-03-01T07:30:00,habit_completed,",
        r"names no instant: write 2026-03-01T07:30:00\+01:00, say, or .*Z if it is UTC",
    ),
    ("ann,run,yesterday,habit_completed,", r"ISO 8601 .* such as 2026-03-01T07.*got 'yesterday'"),
    ("ann,run,,habit_completed,", "occurred_at: expected an ISO 8601"),
    ("ann,run,2026-03-01T07:30:00Z,,", "kind: expected 1 to 256 characters"),
    ("ann,run,2026-03-01T07:30:00Z,x,many", "value: expected a number or nothing, got 'many'"),
    ("ann,run,2026-03-01T07:30:00Z,x,nan", "finite"),
    ("ann,run,2026-03-01T07:30:00Z,x,1e999", "finite"),
    ("ann,run,2026-03-01T07:30:00Z,x", "expected 5 cells as in the header, got 4"),
    ("ann,run,2026-03-01T07:30:00Z,x,1,2", "expected 5 cells as in the header, got 6"),
    (b"ann,r\xfcn,2026-03-01T07:30:00Z,x,", "subject: expected"),
    (b"ann,r\x00n,2026-03-01T07:30:00Z,x,", "subject: expected|NUL"),
    ("ann," + "r" * 140_000 + ",2026-03-01T07:30:00Z,x,", "field larger than"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_ROWS)
def test_a_bad_row_is_named_and_the_good_ones_are_kept(write, log, bad, reason):
    good = "ann,run,2026-03-{:02}T07:30:00+01:00,habit_completed,\n"
    bad = bad if isinstance(bad, bytes) else bad.encode()
    path = write((HEADER + good.format(1)).encode() + bad + ("\n" + good.format(2)).encode())
    report = import_records(log, importers.read_csv(path))
    assert (report.read, report.added, report.bad) == (3, 2, 1)
    ((line, message),) = report.bad_rows
    assert line == 3
    with pytest.raises(ImportFailure, match=reason):
        raise ImportFailure(message)
    with EventLog(":memory:") as strict, pytest.raises(ImportFailure, match=r"line 3: .*strict"):
        import_records(strict, importers.read_csv(path), strict=True)
    with EventLog(":memory:") as strict:
        assert strict.count() == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"kind": "x"}', "missing required field `occurred_at`"),
        (
            '{"kind": 5, "occurred_at": "2026-03-01T06:00Z"}',
            r"Expected `str`, got `int` - at `\$.kind`",
        ),
        ('{"kind": "x", "occurred_at": "2026-03-01T06:00"}', "expected a time with a UTC offset"),
        ('{"kind": "x", "occurred_at": "2026-03-01T06:00Z", "value": "5"}', "value"),
        ('{"kind": "x", "occurred_at": "2026-03-01T06:00Z", "value": NaN}', "malformed"),
        ("not json", "malformed"),
        ("[1, 2]", "Expected `object`"),
        ("\udcff".encode("utf-8", "surrogateescape"), "malformed|invalid"),
    ],
)
def test_a_bad_line_of_json_is_named(write, line, reason):
    good = b'{"kind": "x", "occurred_at": "2026-03-01T06:00Z", "subject": "run", "mood": "good"}\n'
    bad = line if isinstance(line, bytes) else line.encode()
    ((number, message),) = reasons_of(
        importers.read_jsonl(write(good + b"\n" + bad + b"\n" + good))
    )
    assert number == 3
    with pytest.raises(ImportFailure, match=reason):
        raise ImportFailure(message)


def test_a_strict_import_keeps_what_was_there_before(write, log):
    log.record("app_opened")
    good = "".join(
        f"ann,run,2026-03-01T{hour:02}:{minute:02}:00Z,x,\n"
        for hour in range(24)
        for minute in range(60)
    )
    with pytest.raises(ImportFailure, match="line 1442"):
        import_records(log, importers.read_csv(write(HEADER + good + "bad\n")), strict=True)
    assert log.count() == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an empty file"),
        ("time,event\n", "occurred_at and kind not found in time,event"),
        ("occurred_at,kind,kind\n", "kind stands in the first line twice"),
        ("2026-03-01T06:00Z,app_opened\n", "first line must name the columns user,subject"),
        ("occurred_at,kind\n".encode("utf-16"), "not UTF-8, but UTF-16 perhaps: save it as"),
    ],
)
def test_a_file_without_the_right_header(write, text, reason):
    with pytest.raises(ImportFailure, match=reason):
        list(importers.read_csv(write(text)))


def test_a_file_that_is_not_there(tmp_path):
    for read in (importers.read_csv, importers.read_jsonl, importers.read_file):
        with pytest.raises(ImportFailure, match=r"nowhere.csv cannot be read: No such file"):
            list(read(tmp_path / "nowhere.csv"))
    with pytest.raises(ImportFailure, match="cannot be read"):
        list(importers.read_loop_habits(tmp_path / "nowhere.zip"))


def test_an_id_that_means_something_else(write, log):
    path = write(
        "id,occurred_at,kind\n"
        "1,2026-03-01T06:00Z,a\n"
        "1,2026-03-01T06:00Z,b\n"
        "2,2026-03-01T06:00Z,b\n"
        "1,2026-03-01T06:00Z,a\n"
    )
    for report in (
        import_records(log, importers.read_csv(path)),
        collect(importers.read_csv(path))[1],
    ):
        assert (report.added, report.known, report.bad) == (2, 1, 1)
        assert report.bad_rows == (BadRow(3, "id '1' already stands for another event"),)
    with pytest.raises(ImportFailure, match="line 3: id '1' already"):
        collect(importers.read_csv(path), strict=True)


def test_a_log_holds_one_person(write, log):
    path = write(
        HEADER + "ann,run,2026-03-01T06:00Z,x,\nbob,run,2026-03-01T07:00Z,x,\n"
        "ann,run,2026-03-02T06:00Z,x,\n"
    )
    with pytest.raises(ImportFailure, match="of one person, got those of 2: 'ann', 'bob'; name"):
        import_records(log, importers.read_csv(path))
    assert log.count() == 0
    with EventLog(":memory:") as other:
        report = import_records(other, importers.read_csv(path), user="bob")
        assert (report.added, report.others, report.bad) == (1, 2, 0)
    columns, report = collect([*importers.read_csv(path), BadRow(9, "because")])
    assert report.bad_rows == (BadRow(9, "because"),)
    assert {user: len(events) for user, events in columns.items()} == {"ann": 2, "bob": 1}
    assert report.added == 3


def test_a_second_person_undoes_what_was_kept_of_the_first(log):
    row = EventRow.checked("x", datetime(2026, 3, 1, tzinfo=UTC))
    users = ["ann"] * 12_000 + [f"user{n}" for n in range(8)]
    records = [
        importers.Record(n, user, row._replace(id=str(n), occurred_at_us=row.occurred_at_us - n))
        for n, user in enumerate(users)
    ]
    with pytest.raises(ImportFailure, match="got those of 9: 'ann', 'user0', .* and 4 more"):
        import_records(log, records)
    assert log.count() == 0
    assert import_records(log, records, user="ann").others == 8
    assert log.count() == 12_000


def test_progress_and_transactions_by_the_batch(log):
    row = EventRow.checked("x", datetime(2026, 3, 1, tzinfo=UTC))
    records = (
        importers.Record(n, "", row._replace(id=str(n), occurred_at_us=row.occurred_at_us - n))
        for n in range(25_000)
    )
    seen = []
    import_records(log, records, progress=lambda read: seen.append((read, log.count())))
    assert seen == [(10_000, 10_000), (20_000, 20_000), (25_000, 25_000)]


def test_a_thousand_bad_rows_are_kept_and_the_rest_counted(write, log):
    path = write(HEADER + "bad\n" * 1500)
    report = import_records(log, importers.read_csv(path))
    assert (report.bad, len(report.bad_rows)) == (1500, 1000)


@given(rows=st.lists(some.rows(), max_size=30))
def test_collecting_is_importing(rows):
    records = [importers.Record(n, "", row) for n, row in enumerate(rows)]
    with EventLog(":memory:") as log:
        imported = import_records(log, records)
        stored = log.columns()
    columns, collected = collect(records)
    assert imported == collected
    if rows:
        for name in (
            "occurred_at_us",
            "recorded_at_us",
            "utc_offset_s",
            "kind",
            "subject",
            "value",
            "id",
        ):
            there, here = getattr(stored, name), getattr(columns[""], name)
            assert there.dtype == here.dtype
            np.testing.assert_array_equal(there, here)


# --- files of anyone --------------------------------------------------------------

CSV_PIECES = [
    *HEADER.strip().split(","), "id", "recorded_at", ",", ";", "\n", "\r\n", '"', "ann", "",
    "2026-03-01T07:30:00+01:00", "2026-03-01", "0001-01-01T00:00Z", "9999-12-31T23:59-23:59",
    "nan", "1e400", "\0", "\ufeff", "\ud800",
]  # fmt: skip
JSON_PIECES = [
    '{"kind": "x", "occurred_at": "2026-03-01T06:00Z"', ', "value": 1e400', ', "value": -5',
    ', "id": ""', ', "recorded_at": "x"', "}", "\n", "[", "\\ud800", "\0",
]  # fmt: skip
LOOP_PIECES = [
    "Date,", "Value,Notes", "Meditate,", "2026-03-01,", "9999-12-31,", "0001-01-01,", "YES_MANUAL,",
    "2,", "9" * 400, "9" * 5000, "-", ",", "\n", "Entry(timestamp=x, value=7)", '"', "\0", "\ud800",
]  # fmt: skip


def pieces(of):
    return st.lists(st.sampled_from(of), max_size=40).map(
        lambda some: "".join(some).encode("utf-8", "surrogatepass")
    )


@pytest.mark.parametrize("name", ["events.csv", "events.jsonl", "Checkmarks.csv", "export.zip"])
@given(data=st.data())
def test_a_hostile_file_gives_bad_rows_or_one_clear_error(tmp_path_factory, name, data):
    text = pieces(CSV_PIECES) | pieces(JSON_PIECES) | pieces(LOOP_PIECES) | st.binary(max_size=200)
    path = tmp_path_factory.mktemp("hostile") / name
    content = data.draw(text)
    if name.endswith("zip") and data.draw(st.booleans()):
        inside = st.sampled_from(
            ["Checkmarks.csv", "Habits.csv", "001 Run/Checkmarks.csv", "../x.csv"]
        )
        with zipfile.ZipFile(path, "w") as archive:
            for file in data.draw(st.sets(inside)):
                archive.writestr(file, data.draw(text))
    else:
        path.write_bytes(content)
    readers = [
        importers.read_file,
        importers.read_csv,
        importers.read_jsonl,
        importers.read_loop_habits,
    ]
    for read in readers:
        with EventLog(":memory:") as log, contextlib.suppress(ImportFailure):
            report = import_records(log, read(path))
            assert report.read == report.added + report.known + report.bad
            assert log.count() == report.added


# --- Loop Habit Tracker ------------------------------------------------------------

HABITS_CSV = """\
Position,Name,Type,Question,Description,FrequencyNumerator,FrequencyDenominator,Color,Unit,\
Target Type,Target Value,Archived?
001,Meditate,YES_NO,Did you?,,1,1,#FF8F00,,,,false
002,"Run, swim",YES_NO,,,2,7,#00897B,,,,false
003,Pages,NUMERICAL,,,1,1,#00897B,pages,AT_LEAST,10.0,false
004,Coffee,NUMERICAL,,,1,1,#00897B,cups,AT_MOST,2.0,false
005,Kilometres,NUMERICAL,,,1,7,#00897B,km,AT_LEAST,20.0,false
"""
# One day a row, newest first; the header is not quoted, and every line ends with a comma.
ALL_HABITS = """\
Date,Meditate,Run, swim,Pages,Coffee,Kilometres,
2026-03-04,NO,NO,5000,SKIP,UNKNOWN,
2026-03-03,YES_MANUAL,YES_AUTO,12500,3000,4000,
2026-03-02,NO,YES_MANUAL,9999,NO,UNKNOWN,
2026-03-01,SKIP,UNKNOWN,NO,YES_MANUAL,NO,
"""


def said(records):
    return {(row.subject, day_of(row), row.kind, row.value) for row in rows_of(records)}


def day_of(row):
    local = datetime.fromtimestamp(
        row.occurred_at_us / 1e6, timezone(timedelta(seconds=row.utc_offset_s))
    )
    assert (local.hour, local.minute) == (23, 59)
    return local.day


EXPECTED = {
    ("Meditate", 3, "habit_completed", None),
    ("Meditate", 2, "habit_skipped", None),
    ("Run, swim", 2, "habit_completed", None),
    ("Pages", 4, "habit_progress", 5.0),
    ("Pages", 3, "habit_completed", 12.5),
    ("Pages", 2, "habit_progress", 9.999),
    ("Pages", 1, "habit_skipped", None),
    ("Coffee", 3, "habit_skipped", 3.0),
    ("Coffee", 2, "habit_completed", 0.0),
    ("Coffee", 1, "habit_completed", 0.002),
    ("Kilometres", 3, "habit_completed", 4.0),
    ("Kilometres", 1, "habit_skipped", None),
}


def test_loop_all_habits_with_their_descriptions(write):
    path = write(ALL_HABITS, "Checkmarks.csv")
    write(HABITS_CSV, "Habits.csv")
    assert said(importers.read_loop_habits(path, timezone=PARIS)) == EXPECTED
    assert said(importers.read_file(path)) == EXPECTED


def test_loop_all_habits_alone(write):
    simple = "\n".join(
        ",".join(cell for n, cell in enumerate(line.split(",")) if n < 2) + ","
        for line in ALL_HABITS.splitlines()
    )
    expected = {event for event in EXPECTED if event[0] == "Meditate"}
    assert said(importers.read_loop_habits(write(simple, "Checkmarks.csv"))) == expected
    with pytest.raises(ImportFailure, match=r"names 6 habits, but the rows have 5: .*comma"):
        list(importers.read_loop_habits(write(ALL_HABITS, "Checkmarks.csv")))


def test_loop_numbers_and_the_export_bug_say_the_same(write):
    numbers = ALL_HABITS
    for code, name in enumerate(["UNKNOWN", "NO", "YES_AUTO", "YES_MANUAL", "SKIP"], start=-1):
        numbers = numbers.replace(name, str(code))
    days = numbers.splitlines()
    bug = [days[0]]
    for line in days[1:]:
        day, *cells = line.split(",")
        entries = [f"Entry(timestamp={day}, value={cell})" for cell in cells if cell]
        bug.append(",".join([day, *entries, ""]))
    write(HABITS_CSV, "Habits.csv")
    for text in (numbers, "\n".join(bug), "\r\n".join(bug)):
        path = write(text, "Checkmarks.csv")
        assert said(importers.read_loop_habits(path)) == EXPECTED
    notes = "Date,Meditate,\n2026-03-02,Entry(timestamp=2026-03-02, value=2, notes=a, (b)),\n"
    (row,) = rows_of(importers.read_loop_habits(write(notes, "Checkmarks.csv")))
    assert (row.subject, row.kind) == ("Meditate", "habit_completed")


def single_habit_files():
    """The same export as files of single habits, as the app writes them beside the other."""
    lines = [line.split(",") for line in ALL_HABITS.splitlines()[1:]]
    for column, folder in enumerate(
        ["001 Meditate", "002 Run swim", "003 Pages", "004 Coffee", "005 Kilometres"], start=1
    ):
        rows = [(line[0], line[column], "a note, with a comma") for line in lines]
        yield folder, rows


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_loop_whole_export(tmp_path, header, packed):
    export = tmp_path / "export"
    for folder, rows in single_habit_files():
        (export / folder).mkdir(parents=True)
        with (export / folder / "Checkmarks.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("Date", "Value", "Notes")] * header + rows)
    (export / "Habits.csv").write_text(HABITS_CSV)
    (export / "Checkmarks.csv").write_text("Date,Meditate,\n2026-03-03,NO,\n")  # incomplete
    (export / "Scores.csv").write_text("Date,Meditate,\n2026-03-03,0.5,\n")
    source = export
    if packed:
        source = tmp_path / "Loop Habits CSV 2026-03-04.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for file in export.rglob("*.csv"):
                archive.write(file, file.relative_to(export))
    assert said(importers.read_loop_habits(source)) == EXPECTED
    only = importers.read_loop_habits(export / "002 Run swim" / "Checkmarks.csv")
    assert said(only) == {event for event in EXPECTED if event[0] == "Run, swim"}


def test_loop_days_are_local_days(write):
    path = write(
        "Date,Meditate,\n2026-03-30,NO,\n2026-03-29,YES_MANUAL,\n2026-03-28,2,\n", "Checkmarks.csv"
    )
    before, after = sorted(
        rows_of(importers.read_loop_habits(path, timezone=PARIS)), key=lambda r: r.occurred_at_us
    )
    assert (before.utc_offset_s, after.utc_offset_s) == (3600, 7200)
    assert after.occurred_at_us - before.occurred_at_us == 23 * some.HOUR_US


def test_loop_bad_cells_are_named(write):
    path = write(
        "Date,Meditate,Run,\n2026-03-03,MAYBE,YES_MANUAL,\nyesterday,2,2,\n2026-03-01,-7,\n"
        "2026-02-28,2,2,\n",
        "Checkmarks.csv",
    )
    records = list(importers.read_loop_habits(path))
    assert reasons_of(records) == [
        (2, "Checkmarks.csv: Meditate: 'MAYBE' is no entry of Loop Habit Tracker"),
        (3, "Checkmarks.csv: expected a date such as 2026-03-01, got 'yesterday'"),
        (4, "Checkmarks.csv: Meditate: '-7' is no entry of Loop Habit Tracker"),
        (4, "Checkmarks.csv: 1 of 2 habits have no cell"),
    ]
    assert len(records) == 4 + 3


def test_loop_one_habit_alone(write):
    path = write("2026-03-02,2\n2026-03-01,0\n", "old/Checkmarks.csv")
    assert said(importers.read_file(path)) == {
        ("old", 2, "habit_completed", None),
        ("old", 1, "habit_skipped", None),
    }
    renamed = write(path.read_text(), "stretching.csv")
    assert {subject for subject, *_ in said(importers.read_file(renamed))} == {"stretching"}
    write(HABITS_CSV.replace("10.0", "ten"), "Habits.csv")  # no target that can be understood
    pages = write("Date,Value,Notes\n2026-03-02,10000,\n", "003 Pages/Checkmarks.csv")
    assert said(importers.read_file(pages)) == {("Pages", 2, "habit_completed", 10.0)}


def test_loop_what_is_no_export(tmp_path, write):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportFailure, match=r"holds no Checkmarks.csv: give the .zip"):
        list(importers.read_loop_habits(tmp_path / "empty"))
    with pytest.raises(ImportFailure, match=r"cannot be read"):
        list(importers.read_loop_habits(write(b"\xff\xfe\x00", "Checkmarks.csv")))


def test_loop_files_that_cannot_be_read(tmp_path, write, monkeypatch):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Checkmarks.csv", "Date,Run,\n" + "2026-03-01,2,\n" * 100)
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    encrypted = bytearray(content)
    encrypted[6] |= 1
    encrypted[directory + 8] |= 1
    garbled = bytearray(content)
    garbled[50:60] = b"\xff" * 10
    for wrong in (encrypted, garbled, content[: len(content) // 2]):
        with pytest.raises(ImportFailure, match=r"export.zip (cannot be read|holds no)"):
            list(importers.read_loop_habits(write(bytes(wrong), "export.zip")))
    write(content, "export.zip")
    monkeypatch.setattr("inhabit.importers.loop_habits._LARGEST", 1000)
    with pytest.raises(ImportFailure, match=r"Checkmarks.csv has 1410 bytes, which no export has"):
        list(importers.read_loop_habits(path))
    with pytest.raises(ImportFailure, match="field larger than field limit"):
        list(importers.read_loop_habits(write("Date,Run,\n" + "x" * 200_000, "Checkmarks.csv")))


# --- git -----------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with three commits by Ann and one by Bob."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "poems"

    def git(*arguments, **more):
        subprocess.run(
            ["git", *arguments], cwd=folder, check=True, capture_output=True, env=os.environ | more
        )

    folder.mkdir()
    git("init", "--quiet")
    git("config", "user.name", "Ann")
    git("config", "user.email", "ann@example.org")
    for author, time in (
        ("Ann <ann@example.org>", "2026-03-01T23:30:00+01:00"),
        ("Bob <bob@example.org>", "2026-03-02T09:00:00-05:00"),
        ("Ann <ann@example.org>", "2026-03-02T08:00:00+01:00"),
        ("Ann <ann+work@example.org>", "2026-03-29T03:30:00+02:00"),
    ):
        name, email = author[:-1].split(" <")
        git(
            "commit", "--allow-empty", "--quiet", "--message", "a line",
            GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=email, GIT_AUTHOR_DATE=time,
            GIT_COMMITTER_DATE="2027-01-01T00:00:00Z",
        )  # fmt: skip
    return folder


def test_git_commits_are_what_the_author_did(repository, log):
    report = import_records(log, importers.read_git(repository, author="Ann"))
    assert (report.added, report.bad) == (3, 0)
    events = list(log.events())
    assert [event.occurred_at.isoformat() for event in events] == [
        "2026-03-01T23:30:00+01:00",
        "2026-03-02T08:00:00+01:00",
        "2026-03-29T03:30:00+02:00",
    ]
    assert {(event.kind, event.subject) for event in events} == {("habit_completed", "poems")}
    assert all(event.recorded_at == event.occurred_at for event in events)
    again = import_records(log, importers.read_git(repository, author="ann"))
    assert (again.added, again.known) == (0, 3)  # the pattern fits the addresses, too


def test_git_the_author_is_oneself_by_default(repository, monkeypatch):
    rows = rows_of(importers.read_git(repository))
    assert len(rows) == 2
    (repository / "sub").mkdir()
    assert rows_of(importers.read_git(repository / "sub", subject="verse"))[0].subject == "verse"
    subprocess.run(["git", "config", "--unset", "user.email"], cwd=repository, check=True)
    with pytest.raises(
        ImportFailure, match=r"name an author \(--author\)\. Its most frequent authors: Ann <ann@"
    ):
        list(importers.read_git(repository))


def test_git_failures_say_why(repository, tmp_path, monkeypatch):
    with pytest.raises(
        ImportFailure, match=r"no commits by an author like 'Zoe'. Its most .*Bob <"
    ):
        list(importers.read_git(repository, author="Zoe"))
    with pytest.raises(ImportFailure, match="not a git repository"):
        list(importers.read_git(tmp_path, author="Ann"))
    with pytest.raises(ImportFailure, match="nowhere"):
        list(importers.read_git(tmp_path / "nowhere", author="Ann"))
    empty = tmp_path / "empty"
    subprocess.run(["git", "init", "--quiet", empty], check=True)
    with pytest.raises(ImportFailure, match="HEAD"):
        list(importers.read_git(empty, author="Ann"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportFailure, match="program git was not found"):
        list(importers.read_git(repository))


def test_git_reading_can_stop_early(repository):
    records = importers.read_git(repository, author="Ann")
    assert next(records).line == 1
    records.close()
