"""Which rows a wish to forget reaches. The caller owns the transaction and the purge."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class Forgotten(NamedTuple):
    """What `EventLog.forget` did: how many rows were deleted or blanked."""

    events: int
    decisions: int


def forget_everything(connection: sqlite3.Connection) -> Forgotten:
    """Delete every row of every table."""
    events = connection.execute("DELETE FROM events").rowcount
    decisions = connection.execute("DELETE FROM decisions").rowcount
    for statement in ("DELETE FROM subjects", "DELETE FROM kinds", "DELETE FROM meta"):
        connection.execute(statement)
    return Forgotten(events, decisions)


def forget_ids(connection: sqlite3.Connection, ids: Iterable[str]) -> Forgotten:
    """Delete the events with these ids; blank the decisions that may have known them."""
    with _Doomed(connection) as doomed:
        connection.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", ((id_,) for id_ in ids))
        return doomed.delete()


def forget_range(
    connection: sqlite3.Connection, subject: str | None, since_us: int | None, until_us: int | None
) -> Forgotten:
    """Delete the events and decisions of a subject (or of all) in a range of time."""
    with _Doomed(connection) as doomed:
        connection.execute(
            "INSERT INTO doomed SELECT events.id"
            " FROM subjects s CROSS JOIN kinds k CROSS JOIN events"
            " ON events.subject = s.id AND events.kind = k.id"
            " WHERE s.name = coalesce(:subject, s.name)"
            " AND occurred_at_us >= coalesce(:since_us, occurred_at_us)"
            " AND occurred_at_us < coalesce(:until_us, occurred_at_us + 1)",
            {"subject": subject, "since_us": since_us, "until_us": until_us},
        )
        decisions = connection.execute(
            "DELETE FROM decisions WHERE subject = coalesce(:subject, subject)"
            " AND at_us >= coalesce(:since_us, at_us)"
            " AND at_us < coalesce(:until_us, at_us + 1)",
            {"subject": subject, "since_us": since_us, "until_us": until_us},
        ).rowcount
        forgotten = doomed.delete()
        return Forgotten(forgotten.events, decisions + forgotten.decisions)


class _Doomed:
    """The temporary table `doomed`, which lives in memory, for the length of a ``with``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Self:
        self._connection.execute("CREATE TEMP TABLE doomed (id TEXT PRIMARY KEY)")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:  # otherwise the rollback takes the table away
            self._connection.execute("DROP TABLE doomed")

    def delete(self) -> Forgotten:
        """Delete the doomed events, blank what rested on them, drop names nobody has."""
        # Per subject: from when on decisions may have known one of the events,
        # and from when on a window may have been decided by one.
        touched = self._connection.execute(
            "SELECT s.name, min(recorded_at_us), min(occurred_at_us)"
            " FROM doomed CROSS JOIN events USING (id) JOIN subjects s ON s.id = events.subject"
            " GROUP BY s.name"
        ).fetchall()
        events = self._connection.execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM doomed)"
        ).rowcount
        decisions = 0
        for name, recorded_at_us, occurred_at_us in touched:
            about = name or None  # an event about nothing in particular concerns every subject
            decisions += self._connection.execute(
                "UPDATE decisions SET probability = NULL, features = NULL, reasons = '[]'"
                " WHERE subject = coalesce(?, subject) AND at_us >= ?",
                (about, recorded_at_us),
            ).rowcount
            self._connection.execute(
                "UPDATE decisions SET outcome = NULL"
                " WHERE subject = coalesce(?, subject) AND window_end_us > ?",
                (about, occurred_at_us),
            )
        self._connection.execute(
            "DELETE FROM subjects WHERE id NOT IN (SELECT subject FROM events)"
        )
        self._connection.execute("DELETE FROM kinds WHERE id NOT IN (SELECT kind FROM events)")
        return Forgotten(events, decisions)
