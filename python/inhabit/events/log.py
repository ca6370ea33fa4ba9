"""`EventLog`: one person's events and decisions on the disk."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from inhabit.events.columns import EventColumns
from inhabit.events.database import Database
from inhabit.events.decision import INSERT_DECISION, SELECT_DECISIONS, StoredDecision
from inhabit.events.event import (
    Beginning,
    Event,
    EventRow,
    recording_time,
    us_from_datetime,
)
from inhabit.events.forgetting import Forgotten, forget_everything, forget_ids, forget_range
from inhabit.events.offsets import KNOWN, offset_changes
from inhabit.exceptions import ConfigError, EventError

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

_END_OF_TIME: Final = (1 << 63) - 1


class EventLog:
    """A durable, append-only log of one person's events in one SQLite file.

    When a method that writes returns, what it wrote is on the disk and
    survives a power cut (WAL, ``synchronous=FULL``); if it raises or the
    process is killed, nothing of that transaction is there.

    A log may be used from several threads (calls take turns) and opened by
    several processes at once (writers wait for each other up to `timeout_s`).
    It must not be carried across `os.fork`.

    Parameters
    ----------
    path : str or path-like
        The file; created, with its folders, if it does not exist, readable by
        its owner only. A file that cannot be written (see `writable`) is opened
        to be read. ``":memory:"`` keeps the log in memory.
    timeout_s : float, default 5.0
        How long to wait for another process that is writing.

    Raises
    ------
    StorageError
        If the file cannot be opened, is no event log, was written by a newer
        version, or SQLite is older than 3.37. Any method raises it when the
        disk is full or the file damaged, locked or closed.

    Examples
    --------
    >>> with EventLog(":memory:") as log:
    ...     event = log.record("habit_completed", "meditate")
    ...     len(log.columns(subject="meditate"))
    1
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout_s: float = 5.0) -> None:
        self._database = Database(path, timeout_s)

    def __repr__(self) -> str:
        return f"EventLog({self.path!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The file of the log, or ``":memory:"``."""
        return self._database.path

    # -- appending --

    def record(
        self,
        kind: str,
        subject: str = "",
        *,
        occurred_at: datetime | None = None,
        recorded_at: datetime | None = None,
        value: float | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Event:
        """Append one event and return it; by default it happens now.

        Parameters
        ----------
        kind, subject, value, id
            As in `Event`.
        occurred_at : datetime, optional
            When it happened, offset-aware. By default `recorded_at`.
        recorded_at : datetime, optional
            By default now, in this machine's time zone (or `occurred_at`, if
            another clock puts that later).

        Raises
        ------
        EventError
            If the event cannot be stored, or `id` stands for another event.
        """
        if recorded_at is None:
            recorded_at = recording_time(datetime.now().astimezone(), occurred_at)
        event = Event(
            kind=kind,
            occurred_at=recorded_at if occurred_at is None else occurred_at,
            subject=subject,
            recorded_at=recorded_at,
            value=value,
            id="" if id is None else id,
        )
        self.append_rows([event.row])
        return event

    def append(self, *events: Event) -> int:
        """Append events in one transaction; return how many were new.

        Raises
        ------
        EventError
            If an id already stands for another event. Nothing is appended.
        """
        with self.transaction():
            return self.append_rows(event.row for event in events)

    def append_rows(self, rows: Iterable[EventRow]) -> int:
        """Append checked rows in one transaction; return how many were new.

        Raises
        ------
        EventError
            If an id already stands for another event. Nothing is appended.
        """
        with self._database.transaction():
            added, refused = self.merge_rows(list(rows))
            if refused:
                raise EventError(
                    f"id {refused[0].id!r} already stands for another event, and events never "
                    "change: give this one an id of its own, or forget the other first"
                )
        return added

    def merge_rows(self, rows: Sequence[EventRow]) -> tuple[int, list[EventRow]]:
        """Append the checked rows that are new, in one transaction.

        Returns
        -------
        added : int
            How many were new.
        refused : list of EventRow
            Those whose id already stands for another event; they are not in the log.
        """
        with self._database.transaction() as connection:
            added = _insert(connection, rows)
            known = added < len(rows)
            return added, _of_other_content(connection, rows) if known else []

    # -- reading --

    def columns(
        self,
        subject: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        recorded_before_us: int | None = None,
        *,
        kinds: Collection[str] | None = None,
    ) -> EventColumns:
        """Return events as columns, in order of (occurred_at, recorded_at, id).

        Reads only the rows it returns, by index: the cost grows with the
        answer, not with the age of the log.

        Parameters
        ----------
        subject : str, optional
            Only events about this subject and those about none (``""``), which
            concern them all. By default everything.
        since_us, until_us : int, optional
            Only events with ``since_us <= occurred_at_us < until_us``.
        recorded_before_us : int, optional
            Only events with ``recorded_at_us < recorded_before_us``: what was
            known at that instant.
        kinds : collection of str, optional
            Only events of these kinds.
        """
        source, parameters = _select(subject, since_us, until_us, recorded_before_us, kinds)
        rows = self._database.fetch(
            "SELECT events.id, s.name, k.name, occurred_at_us, utc_offset_s, recorded_at_us, value"
            f" {source} ORDER BY occurred_at_us, recorded_at_us, events.id",
            parameters,
        )
        return EventColumns.from_sorted(rows)

    def occurrences(
        self,
        kind: str,
        subjects: Sequence[str],
        spans: Iterable[tuple[int, int]],
        recorded_before_us: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return when the events of one kind occurred and were recorded, where, and their values.

        The four columns that a live prediction needs, at half the cost of `columns`; in order of
        (occurred_at, recorded_at, id).

        Parameters
        ----------
        kind : str
            The kind of event.
        subjects : sequence of str
            What the events are about; ``""`` is no subject.
        spans : iterable of (since_us, until_us)
            Only events with ``since_us <= occurred_at_us < until_us`` in one of these spans of
            time, which come one after the other.
        recorded_before_us : int
            Only events with ``recorded_at_us < recorded_before_us``.

        Returns
        -------
        occurred_at_us, recorded_at_us, utc_offset_s : ndarray of int64
        value : ndarray of float64
            NaN where there is none.
        """
        query = _occurrences(len(subjects))
        rows: list[tuple[Any, ...]] = []
        for since_us, until_us in spans:
            end_us = min(until_us, recorded_before_us)  # what is recorded by then has occurred
            parameters = (kind, *subjects, since_us, end_us, recorded_before_us)
            rows += self._database.fetch(query, parameters)
        columns = zip(*rows, strict=True) if rows else ((),) * 4
        occurred_at_us, recorded_at_us, utc_offset_s, value = columns
        return (
            np.array(occurred_at_us, dtype=np.int64),
            np.array(recorded_at_us, dtype=np.int64),
            np.array(utc_offset_s, dtype=np.int64),
            np.array(value, dtype=np.float64),  # None becomes NaN
        )

    def events(
        self,
        subject: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        recorded_before_us: int | None = None,
        *,
        kinds: Collection[str] | None = None,
    ) -> Iterator[Event]:
        """Yield events one by one; the parameters are those of `columns`."""
        return self.columns(subject, since_us, until_us, recorded_before_us, kinds=kinds).events()

    def first(
        self, subject: str | None = None, recorded_before_us: int | None = None
    ) -> Event | None:
        """Return the earliest event known before an instant, or None; flat in the log's age."""
        return self._end("ASC", subject, recorded_before_us)

    def last(
        self, subject: str | None = None, recorded_before_us: int | None = None
    ) -> Event | None:
        """Return the latest event known before an instant, or None; flat in the log's age."""
        return self._end("DESC", subject, recorded_before_us)

    def _end(self, direction: str, subject: str | None, before_us: int | None) -> Event | None:
        order = f"occurred_at_us {direction}, recorded_at_us {direction}, id {direction}"
        rows = self._database.fetch(
            # One end of each (subject, kind) run, by index; then the end of those.
            "WITH ends AS (SELECT s.name AS subject, k.name AS kind,"  # noqa: S608
            " (SELECT id FROM events WHERE subject = s.id AND kind = k.id"
            # What is recorded by then has occurred by then: where to begin in the index.
            "  AND occurred_at_us < :before AND recorded_at_us < :before"
            f" ORDER BY {order} LIMIT 1) AS id"
            " FROM subjects s CROSS JOIN kinds k"
            " WHERE :subject IS NULL OR s.name IN ('', :subject))"
            " SELECT id, ends.subject, ends.kind, occurred_at_us, utc_offset_s, recorded_at_us,"
            f" value FROM ends CROSS JOIN events USING (id) ORDER BY {order} LIMIT 1",
            {"subject": subject, "before": _END_OF_TIME if before_us is None else int(before_us)},
        )
        return Event.from_row(EventRow(*rows[0])) if rows else None

    def beginning(self, subject: str, recorded_before_us: int) -> Beginning | None:
        """Return what a subject began with, as known at an instant, or None; flat in the log's age.

        That is the event about it that occurred first, or a decision about it that was made before;
        but no decision counts before an event, about anything, has told the local time. Unlike
        `first`, it leaves out the events about no subject: they may be older than any habit.
        """
        parameters = {"subject": subject, "before": int(recorded_before_us)}
        rows = self._database.fetch(_BEGINNING, parameters)
        return Beginning(*rows[0]) if rows else None

    def offset_changes(self, since_us: int, until_us: int) -> list[tuple[int, int]]:
        """Return the UTC offset in force at `since_us`, and how it changed before `until_us`.

        The event recorded last (of several at one instant, the one that occurred last) tells the
        offset. Cost grows with the number of changes, not with the number of events.

        Returns
        -------
        list of (recorded_at_us, utc_offset_s)
            In time order; each offset is in force after its instant. The first one began before
            `since_us`, if anything was recorded before. Empty if nothing was by `until_us`.
        """
        return offset_changes(self._database.fetch, since_us, until_us)

    def count(self, subject: str | None = None) -> int:
        """Return the number of events (about a subject and about none)."""
        if subject is None:
            ((number,),) = self._database.fetch("SELECT count(*) FROM events")
            return int(number)
        source, parameters = _select(subject, None, None, None, None)
        ((number,),) = self._database.fetch(f"SELECT count(*) {source}", parameters)
        return int(number)

    def subjects(self) -> tuple[str, ...]:
        """Return the subjects that events are about, sorted, without ``""``."""
        rows = self._database.fetch("SELECT name FROM subjects WHERE name <> '' ORDER BY name")
        return tuple(name for (name,) in rows)

    @property
    def writable(self) -> bool:
        """Whether the file can be written; if not, it is read as it is and not watched."""
        return self._database.writable

    @property
    def revision(self) -> tuple[int, int, int]:
        """Something that differs once anything in the file may have changed; cheap to ask.

        Comparable only with other values from this same object.
        """
        return self._database.revision()

    # -- decisions --

    def add_decision(self, decision: StoredDecision) -> int:
        """Store a decision and return its number.

        Raises
        ------
        EventError
            If a field has a value that makes no sense, such as a propensity of 0.
        """
        with self._database.transaction() as connection:
            try:
                cursor = connection.execute(INSERT_DECISION, decision.to_row())
            except sqlite3.IntegrityError as error:
                raise EventError(f"the decision cannot be stored: {error}") from error
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def decisions(
        self,
        subject: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        *,
        open_only: bool = False,
    ) -> list[StoredDecision]:
        """Return decisions with ``since_us <= at_us < until_us``, in the order they were made.

        Parameters
        ----------
        subject : str, optional
            Only those about this subject.
        open_only : bool, default False
            Only those whose outcome is not joined yet.
        """
        bounds = {"subject = ?": subject, "at_us >= ?": since_us, "at_us < ?": until_us}
        given = {condition: bound for condition, bound in bounds.items() if bound is not None}
        where = " AND ".join([*given, *(["outcome IS NULL"] if open_only else []), "TRUE"])
        rows = self._database.fetch(
            f"{SELECT_DECISIONS} WHERE {where} ORDER BY at_us, id", list(given.values())
        )
        return [StoredDecision.from_row(row) for row in rows]

    def actions(self, subject: str) -> dict[str, int]:
        """Return how often each action was chosen for a subject."""
        return dict(
            self._database.fetch(
                "SELECT action, count(*) FROM decisions WHERE subject = ?"
                " GROUP BY action ORDER BY action",
                (subject,),
            )
        )

    def set_outcomes(self, outcomes: Iterable[tuple[int, int]]) -> int:
        """Join outcomes to decisions; return how many were joined.

        Parameters
        ----------
        outcomes : iterable of (decision id, outcome)
            1 happened, 0 did not, -1 will never be known. An outcome that is
            already joined stays as it is.
        """
        pairs = [(outcome, decision_id) for decision_id, outcome in outcomes]
        for outcome, decision_id in pairs:
            if outcome not in {-1, 0, 1}:
                raise EventError(
                    f"outcome of decision {decision_id}: expected 1, 0 or -1, got {outcome}"
                )
        with self._database.transaction() as connection:
            before = connection.total_changes
            connection.executemany(
                "UPDATE decisions SET outcome = ? WHERE id = ? AND outcome IS NULL", pairs
            )
            return connection.total_changes - before

    # -- small facts --

    def get_meta(self, key: str) -> str | None:
        """Return the text stored under `key`, or None."""
        rows = self._database.fetch("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def set_meta(self, key: str, value: str | None) -> None:
        """Store a small text under `key`; None removes it."""
        with self._database.transaction() as connection:
            if value is None:
                connection.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                connection.execute(
                    "INSERT INTO meta (key, value) VALUES (?, ?)"
                    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    (key, value),
                )

    # -- forgetting --

    def forget(
        self,
        *,
        ids: Iterable[str] | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        everything: bool = False,
    ) -> Forgotten:
        """Delete events for good: from the tables, the free pages and the write-ahead log.

        Name the events by `ids`, or by `subject` and the range
        ``since <= occurred_at < until`` (each optional), or say
        ``everything=True``. Decisions follow: those of a forgotten subject or
        range are deleted; others made since an event that is now forgotten
        lose their probability, reasons and features; outcomes that it may have
        decided are open again.

        Generations trained on the events are not the log's to delete:
        `inhabit.Personalizer.forget` trains again and purges the old ones.

        Returns
        -------
        Forgotten
            Numbers of events deleted and of decisions deleted or blanked.

        Raises
        ------
        ConfigError
            If nothing is named, or `ids` or `everything` is combined with more.
        StorageError
            If the file cannot be rewritten now, because another process is
            reading or the disk is full. The rows are gone; `purge`, or the
            next opening of the log, finishes the work.
        """
        by_range = any(bound is not None for bound in (subject, since, until))
        if (ids is not None) + by_range + bool(everything) != 1:
            raise ConfigError(
                "forget: expected one of ids, everything=True, or subject and/or since/until"
            )
        if isinstance(ids, str):
            raise ConfigError(f"ids: expected a collection of ids, got the string {ids!r}")
        since_us = None if since is None else us_from_datetime(since, "since")
        until_us = None if until is None else us_from_datetime(until, "until")
        with self._database.transaction() as connection:
            if everything:
                forgotten = forget_everything(connection)
            elif ids is not None:
                forgotten = forget_ids(connection, ids)
            else:
                forgotten = forget_range(connection, subject, since_us, until_us)
            self._database.require_purge()
        self._database.purge()
        return forgotten

    def purge(self) -> None:
        """Rewrite the file without free space and empty the write-ahead log.

        `forget` does this itself; call it only when `forget` could not finish.
        """
        self._database.purge()

    # -- the file --

    def transaction(self) -> AbstractContextManager[object]:
        """Make all calls inside the ``with`` block one transaction: all of it or nothing.

        Holds the write lock of the file from the start, so keep it short.
        Blocks may be nested within a thread; only the outermost one commits,
        and an inner one that fails ends them all.
        """
        return self._database.transaction()

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy of the whole log to `path`, replacing what was there.

        The copy is one file, complete and on the disk when this returns, and
        opens as a log. Other processes may go on writing meanwhile.
        """
        self._database.backup(path)

    def release_locks(self) -> None:
        """Let go of the file: no lock and no descriptor is held when this returns.

        The next call opens it again. For systems that end a process which
        holds a lock while it is suspended (iOS: 0xdead10cc). A log in memory
        stays as it is.
        """
        self._database.release_locks()

    def close(self) -> None:
        """Close the log for good; closing twice is fine, other calls then fail."""
        self._database.close()


# --- SQL ---------------------------------------------------------------------

# The first event of each kind, by index; then the first of those and of the decisions.
_BEGINNING: Final = f"""
WITH RECURSIVE {KNOWN}, firsts AS (
  SELECT (
    SELECT id FROM events WHERE subject = s.id AND kind = k.id
    -- What is recorded by then has occurred by then: where to end in the index.
    AND occurred_at_us < :before AND recorded_at_us < :before
    ORDER BY occurred_at_us, recorded_at_us, id LIMIT 1
  ) AS id
  FROM subjects s CROSS JOIN kinds k WHERE s.name = :subject
), decided AS (
  SELECT at_us FROM decisions WHERE subject = :subject AND at_us < :before ORDER BY at_us LIMIT 1
), told(at_us) AS (
  SELECT min((SELECT min(recorded_at_us) FROM events e WHERE e.utc_offset_s = k.utc_offset_s))
  FROM known k
)
SELECT occurred_at_us, recorded_at_us FROM firsts CROSS JOIN events USING (id)
UNION ALL
SELECT max(decided.at_us, told.at_us), max(decided.at_us, told.at_us) FROM decided CROSS JOIN told
WHERE told.at_us < :before
ORDER BY 1, 2 LIMIT 1
"""  # noqa: S608 - of constants


@cache
def _occurrences(subjects: int) -> str:
    """Query for the events of a kind about some subjects in a span of time."""
    # With one subject SQLite sees that the index has the rows in order already.
    among = "= (SELECT id FROM subjects WHERE name = ?)"
    if subjects != 1:
        places = ", ".join("?" * subjects)
        among = f"IN (SELECT id FROM subjects WHERE name IN ({places}))"  # noqa: S608
    return (
        "SELECT occurred_at_us, recorded_at_us, utc_offset_s, value FROM events"  # noqa: S608
        f" WHERE kind = (SELECT id FROM kinds WHERE name = ?) AND subject {among}"
        " AND occurred_at_us >= ? AND occurred_at_us < ? AND recorded_at_us < ?"
        " ORDER BY occurred_at_us, recorded_at_us, id"
    )


def _select(
    subject: str | None,
    since_us: int | None,
    until_us: int | None,
    recorded_before_us: int | None,
    kinds: Collection[str] | None,
) -> tuple[str, list[object]]:
    """FROM and WHERE of a query over events, with its parameters.

    CROSS JOIN fixes the order of the loops: the few subjects and kinds
    outside, then one index range of events for each pair.
    """
    if isinstance(kinds, str):
        raise ConfigError(f"kinds: expected a collection of names, got the string {kinds!r}")
    if recorded_before_us is not None:
        # What is recorded by then has occurred by then: an end for the index range.
        until_us = min(recorded_before_us, recorded_before_us if until_us is None else until_us)
    conditions: list[str] = ["TRUE"]
    parameters: list[object] = []
    if subject is not None:
        conditions.append("s.name IN ('', ?)")
        parameters.append(subject)
    if kinds is not None:
        conditions.append(f"k.name IN ({', '.join('?' * len(kinds))})")
        parameters.extend(kinds)
    for condition, bound in (
        ("occurred_at_us >= ?", since_us),
        ("occurred_at_us < ?", until_us),
        ("recorded_at_us < ?", recorded_before_us),
    ):
        if bound is not None:
            conditions.append(condition)
            parameters.append(int(bound))
    return (
        "FROM subjects s CROSS JOIN kinds k CROSS JOIN events"
        " ON events.subject = s.id AND events.kind = k.id"
        f" WHERE {' AND '.join(conditions)}"
    ), parameters


def _insert(connection: sqlite3.Connection, rows: Sequence[EventRow]) -> int:
    """Insert rows whose ids are new; return how many those were."""
    subject = _numbers(connection, "subjects", {row.subject for row in rows})
    kind = _numbers(connection, "kinds", {row.kind for row in rows})
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO events"
        " (id, subject, kind, occurred_at_us, utc_offset_s, recorded_at_us, value)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        [(row[0], subject[row[1]], kind[row[2]], *row[3:]) for row in rows],
    )
    return connection.total_changes - before


def _numbers(connection: sqlite3.Connection, table: str, names: set[str]) -> Mapping[str, int]:
    """Numbers of names; those seen for the first time are stored."""
    numbers = {}
    for name in sorted(names):
        connection.execute(f"INSERT INTO {table} (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))  # noqa: S608
        query = connection.execute(f"SELECT id FROM {table} WHERE name = ?", (name,))  # noqa: S608
        (numbers[name],) = query.fetchone()
    return numbers


def _of_other_content(connection: sqlite3.Connection, rows: Iterable[EventRow]) -> list[EventRow]:
    """Rows whose id stands for something else in the log."""
    query = (
        "SELECT (s.name, k.name, occurred_at_us, value) IS (?, ?, ?, ?) FROM events"
        " JOIN subjects s ON s.id = subject JOIN kinds k ON k.id = kind WHERE events.id = ?"
    )
    return [
        row for row in rows if connection.execute(query, (*row.content, row.id)).fetchone() != (1,)
    ]
