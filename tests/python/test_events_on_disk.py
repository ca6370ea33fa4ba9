"""The file under the log: crashes, disks, processes, versions, and what forgetting leaves."""

from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inhabit.events import Event, EventLog, EventRow, database
from inhabit.exceptions import EventError, StorageError
from test_events import decision

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARY = "canary-7f3a9c51"


def hourly(count, subject="run"):
    return [
        EventRow.checked("app_opened", NOON + timedelta(hours=hour), subject=subject)
        for hour in range(count)
    ]


def python(script, *arguments, **options):
    """Start another Python that runs `script`."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def intact(path):
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


# --- crashes and full disks --------------------------------------------------------


IMPORT_FOR_EVER = """
import itertools, sys
from datetime import UTC, datetime, timedelta
from inhabit.events import EventLog, EventRow
from inhabit.importers import Record, import_records

start = datetime(2026, 3, 1, tzinfo=UTC)
records = (
    Record(minute, "", EventRow.checked("app_opened", start + timedelta(minutes=minute)))
    for minute in itertools.count()
)
import_records(EventLog(sys.argv[1]), records, user="", progress=lambda n: print(n, flush=True))
"""


@pytest.mark.parametrize("acknowledgements", [1, 3])
def test_killed_while_importing(tmp_path, acknowledgements):
    """Every acknowledged batch is there, whole; at most one more is, and it is whole too."""
    path = tmp_path / "events.db"
    with python(IMPORT_FOR_EVER, path) as process:
        for _ in range(acknowledgements):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    with EventLog(path) as log:
        count = log.count()
        assert count in {acknowledged, acknowledged + 10_000}
        minutes = (log.columns().occurred_at_us // 60_000_000).tolist()
        assert minutes == list(range(minutes[0], minutes[0] + count))
    intact(path)


def test_full_disk(tmp_path):
    """Nothing of the refused call is there, what was there stays, and space makes it work."""
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        log.append_rows(hourly(1000))
        connection = log._database._open()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(StorageError, match=r"disk is full.*nothing of this call was kept"):
            log.append_rows(hourly(5000, "walk"))
        with pytest.raises(OSError, match="disk is full"):  # it is the closest builtin, too
            log.append_rows(hourly(5000, "walk"))
        assert log.count() == 1000
        assert log.subjects() == ("run",)
        connection.execute("PRAGMA max_page_count = 1000000")
        assert log.append_rows(hourly(5000, "walk")) == 5000
    intact(path)


def test_commits_are_synced(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        settings = {
            name: log._database.fetch(f"PRAGMA {name}")[0][0]
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "secure_delete": 1,
        "foreign_keys": 1,
    }


# --- several processes -------------------------------------------------------------


APPEND = """
import sys
from datetime import UTC, datetime, timedelta
from inhabit.events import EventLog

with EventLog(sys.argv[1], timeout_s=60) as log:
    for minute in range(int(sys.argv[3])):
        time = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minute)
        log.record("app_opened", sys.argv[2], occurred_at=time, recorded_at=time)
"""


def test_processes_create_and_write_one_log_at_once(tmp_path):
    path = tmp_path / "new folder" / "events.db"
    writers = [python(APPEND, path, f"writer {n}", 40) for n in range(3)]
    for writer in writers:
        with writer:
            assert writer.wait() == 0
    with EventLog(path) as log:
        assert log.count() == 120
        assert log.subjects() == ("writer 0", "writer 1", "writer 2")
    intact(path)


def test_a_writer_that_does_not_finish_is_named(tmp_path):
    path = tmp_path / "events.db"
    with EventLog(path) as log, EventLog(path, timeout_s=0) as impatient:
        with log.transaction():
            log.record("app_opened")
            with pytest.raises(StorageError, match="another process is writing"):
                impatient.record("app_opened")
            assert impatient.count() == 0  # readers do not wait
        impatient.record("app_opened")
        assert log.count() == 2


def test_names_forgotten_by_another_process(tmp_path):
    path = tmp_path / "events.db"
    with EventLog(path) as log, EventLog(path) as other:
        log.record("app_opened", "run")
        other.forget(everything=True)
        log.record("app_opened", "run")
        assert other.subjects() == ("run",)
    intact(path)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_released_locks_hold_no_file(tmp_path):
    def held():
        descriptors = Path("/proc/self/fd").iterdir()
        return [d for d in descriptors if str(tmp_path) in os.path.realpath(d)]

    with EventLog(tmp_path / "events.db") as log:
        log.record("app_opened")
        assert held()
        log.release_locks()
        assert not held()
        assert log.count() == 1
        with log.transaction(), pytest.raises(StorageError, match="inside a transaction"):
            log.release_locks()


# --- forgetting --------------------------------------------------------------------


def canaries_in(folder):
    return [file.name for file in folder.iterdir() if CANARY.encode() in file.read_bytes()]


def told(log):
    """Put canaries everywhere a person's words can go, between other events."""
    log.append_rows(hourly(2000))
    event = log.record(f"kind {CANARY}", f"subject {CANARY}", id=f"id {CANARY}")
    log.append_rows(hourly(2000, "walk"))
    log.add_decision(
        decision(
            subject=f"subject {CANARY}",
            reasons=(f"because {CANARY}",),
            features=CANARY.encode(),
            at_us=event.row.occurred_at_us + 1,
        )
    )
    return event


@pytest.mark.parametrize("wish", ["subject", "range", "everything"])
def test_what_is_forgotten_is_not_in_the_files(tmp_path, wish):
    with EventLog(tmp_path / "events.db") as log:
        event = told(log)
        log.set_meta("note", CANARY if wish == "everything" else "")
        assert canaries_in(tmp_path)
        log.forget(
            **{
                "subject": {"subject": f"subject {CANARY}"},
                "range": {"since": event.occurred_at - timedelta(microseconds=1)},
                "everything": {"everything": True},
            }[wish]
        )
        assert canaries_in(tmp_path) == []
        assert log.count() == {"subject": 4000, "range": 4000, "everything": 0}[wish]
    assert canaries_in(tmp_path) == []


def test_ids_and_kinds_that_are_forgotten_are_not_in_the_files(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        log.append_rows(hourly(2000))
        event = log.record(f"kind {CANARY}", "run", id=f"id {CANARY}")
        log.add_decision(decision(subject="run", reasons=(CANARY,), at_us=event.row.recorded_at_us))
        assert canaries_in(tmp_path)
        assert log.forget(ids=[event.id]) == (1, 1)
        assert canaries_in(tmp_path) == []


def test_a_log_that_forgot_equals_one_that_never_knew(tmp_path):
    with EventLog(tmp_path / "forgot.db") as forgot, EventLog(tmp_path / "never.db") as never:
        forgot.append_rows(hourly(100))
        forgot.append_rows(hourly(50, "walk"))
        forgot.forget(subject="walk")
        never.append_rows(hourly(100))
        assert list(forgot.columns().rows()) == list(never.columns().rows())
        assert forgot.columns().subjects == never.columns().subjects == ("run",)


def test_a_reader_in_the_way_is_named_and_the_wish_is_kept(tmp_path):
    path = tmp_path / "events.db"
    log = EventLog(path, timeout_s=0)
    told(log)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(StorageError, match=r"rows are deleted.*call purge\(\)"):
        log.forget(subject=f"subject {CANARY}")
    assert log.subjects() == ("run", "walk")
    assert canaries_in(tmp_path)
    with EventLog(path, timeout_s=0) as other:  # opening goes on, the wish waits
        assert other.count() == 4000
    reader.rollback()
    reader.close()
    log.release_locks()
    assert log.count() == 4000  # opens again, and keeps the wish
    assert canaries_in(tmp_path) == []
    log.close()


def test_a_file_that_cannot_be_rewritten_is_named_and_the_wish_is_kept(tmp_path, monkeypatch):
    log = EventLog(tmp_path / "events.db")
    told(log)
    emptied = database.Database._empty_write_ahead_log

    def then_fail(self, connection):
        emptied(self, connection)
        connection.set_progress_handler(lambda: 1, 100)  # interrupts the next long statement

    with monkeypatch.context() as failing:
        failing.setattr(database.Database, "_empty_write_ahead_log", then_fail)
        with pytest.raises(
            StorageError, match=r"could not be rewritten \(interrupted\).*purge\(\)"
        ):
            log.forget(subject=f"subject {CANARY}")
    log._database._open().set_progress_handler(None, 0)
    assert log.count() == 4000
    log.purge()
    assert canaries_in(tmp_path) == []
    assert log.get_meta("purge_pending") is None
    log.close()


FORGET = """
import os, signal, sys
from inhabit.events import EventLog
from inhabit.events.database import Database

Database.purge = lambda self: os.kill(os.getpid(), signal.SIGKILL)
EventLog(sys.argv[1]).forget(subject=sys.argv[2])
"""


def test_killed_while_forgetting(tmp_path):
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        told(log)
    with python(FORGET, path, f"subject {CANARY}") as process:
        assert process.wait() == -signal.SIGKILL
    with EventLog(path) as log:
        assert log.count() == 4000
        assert canaries_in(tmp_path) == []


# --- files that are not ours, or not of today -----------------------------------------


def test_the_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "deep" / "down" / "events.db"
    with EventLog(path) as log:
        log.record("app_opened")
        log.backup(tmp_path / "copy.db")
        for file in (*path.parent.iterdir(), tmp_path / "copy.db"):
            assert file.stat().st_mode & 0o077 == 0


def test_backup_replaces_and_leaves_nothing_beside(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        log.append_rows(hourly(10))
        target = tmp_path / "backups"
        target.mkdir()
        log.backup(target / "copy.db")
        log.append_rows(hourly(20))
        log.backup(target / "copy.db")
        assert [file.name for file in target.iterdir()] == ["copy.db"]
        with EventLog(target / "copy.db") as copy:
            assert list(copy.events()) == list(log.events())
        with pytest.raises(StorageError, match=r"no such folder/copy.db: No such file"):
            log.backup(tmp_path / "no such folder" / "copy.db")


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "events.db"
    path.write_text("user,subject,occurred_at,kind,value\n" * 100)
    with pytest.raises(StorageError, match="no SQLite database"):
        EventLog(path)
    assert path.read_text().startswith("user")


def test_a_database_of_someone_else_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE events (title TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="no event log of inhabit"):
        EventLog(path)
    assert path.read_bytes() == before


def test_a_log_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "events.db"
    EventLog(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"newer inhabit \(schema 99.*upgrade"):
        EventLog(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        log.append_rows(hourly(3000))
    content = bytearray(path.read_bytes())
    content[8192:-8192] = b"\xa5" * (len(content) - 16_384)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="restore a backup"), EventLog(path) as log:
        log.columns()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        EventLog(tmp_path / "file" / "events.db")


def test_sqlite_that_is_too_old(tmp_path, monkeypatch):
    monkeypatch.setattr(database.sqlite3, "sqlite_version_info", (3, 31, 1))
    monkeypatch.setattr(database.sqlite3, "sqlite_version", "3.31.1")
    with pytest.raises(StorageError, match=r"SQLite 3.37 or newer, this Python has 3\.31\.1"):
        EventLog(tmp_path / "events.db")


# --- migrations ----------------------------------------------------------------------


def at_version(monkeypatch, path, version):
    """Make a log as a program that knew only the first `version` migrations left it."""
    with monkeypatch.context() as old:
        old.setattr(database, "MIGRATIONS", database.MIGRATIONS[:version])
        old.setattr(database.Database, "_finish_purge", lambda self, connection: None)
        EventLog(path).close()


@pytest.mark.parametrize("version", range(1, len(database.MIGRATIONS)))
def test_every_old_schema_is_brought_up_to_date(tmp_path, monkeypatch, version):
    path = tmp_path / "events.db"
    at_version(monkeypatch, path, version)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    connection.execute("INSERT INTO subjects (name) VALUES ('run')")
    connection.execute("INSERT INTO kinds (name) VALUES ('app_opened')")
    connection.execute(
        "INSERT INTO events (subject, kind, occurred_at_us, recorded_at_us, id, utc_offset_s)"
        " VALUES (1, 1, 5, 7, 'old', 3600)"
    )
    connection.commit()
    connection.close()
    with EventLog(path) as log:
        assert list(log.columns().rows()) == [
            EventRow("old", "run", "app_opened", 5, 3600, 7, None)
        ]
        log.add_decision(decision())
        log.set_meta("key", "value")
    with EventLog(tmp_path / "new.db"):
        pass
    schemas = []
    for file in (path, tmp_path / "new.db"):
        connection = sqlite3.connect(file)
        schemas.append(connection.execute("SELECT * FROM sqlite_master ORDER BY name").fetchall())
        connection.close()
    old, new = ([row[:3] + row[4:] for row in schema] for schema in schemas)
    assert old == new


@pytest.mark.parametrize("statement", range(3))
def test_a_migration_that_fails_leaves_the_version_before(tmp_path, monkeypatch, statement):
    path = tmp_path / "events.db"
    at_version(monkeypatch, path, 1)
    whole = list(database._statements("0002_decisions"))
    broken = [*whole[:statement], "CREATE TABLE nonsense ("]
    with monkeypatch.context() as bad:
        bad.setattr(database, "_statements", lambda _: broken)
        with pytest.raises(StorageError, match="SQLite refused"):
            EventLog(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "decisions" not in tables
    connection.close()
    with EventLog(path) as log:  # and the next attempt succeeds
        log.add_decision(decision())


def test_the_database_itself_keeps_the_rules(tmp_path):
    """What another program writes into the file must keep to the types and ranges."""
    with EventLog(tmp_path / "events.db") as log:
        log.record("app_opened", "run")
        for change in (
            "utc_offset_s = 90000",
            "recorded_at_us = occurred_at_us - 1",
            "occurred_at_us = 'yesterday'",
            "subject = 99",
            "id = ''",
            "kind = NULL",
        ):
            with pytest.raises(StorageError, match=r"constraint|cannot store"):
                log._database.fetch(f"UPDATE events SET {change}")
        assert log.count() == 1


def test_errors_of_the_log_are_not_mistaken_for_errors_of_the_disk(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        event = Event(kind="a", occurred_at=NOON, id="1")
        log.append(event)
        with pytest.raises(EventError) as caught:
            log.append(dataclasses.replace(event, kind="b"))
        assert not isinstance(caught.value, StorageError)
