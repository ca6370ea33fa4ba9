"""What readers yield, and the two places it can go: a log, or columns."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from inhabit.events import EventColumns, EventRow
from inhabit.exceptions import EventError, ImportFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from inhabit.events import EventLog

_BATCH: Final = 10_000  # rows a transaction: long enough for speed, short enough for other writers
_BAD_ROWS_KEPT: Final = 1_000


class Record(NamedTuple):
    """A good row: where it stood, whose it is, and the event."""

    line: int
    user: str
    row: EventRow


class BadRow(NamedTuple):
    """A row that is no event: where it stood, and what is wrong with it."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of every row.

    Attributes
    ----------
    read : int
        Rows that were read, good and bad.
    added : int
        Events that were new.
    known : int
        Events that were there already, or came twice.
    others : int
        Events of other users than the one asked for.
    bad : int
        Rows that were left out because they are wrong.
    bad_rows : tuple of BadRow
        The first thousand of those.
    """

    read: int
    added: int
    known: int
    others: int
    bad: int
    bad_rows: tuple[BadRow, ...]


class _Bad:
    """Counts bad rows and keeps the first ones; raises at the first if strict."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.count = 0
        self.rows: list[BadRow] = []

    def add(self, bad: BadRow) -> None:
        if self.strict:
            raise ImportFailure(f"line {bad.line}: {bad.reason} (strict: nothing was kept)")
        self.count += 1
        if len(self.rows) < _BAD_ROWS_KEPT:
            self.rows.append(bad)


def import_records(
    log: EventLog,
    records: Iterable[Record | BadRow],
    *,
    user: str | None = None,
    strict: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Put records into a log; return what became of them.

    A log holds one person's events: from records of several people, `user`
    says whose to take.

    With `user`, every 10,000 records are a transaction of their own: a long
    import keeps what it has acknowledged, lets other writers in, and can be
    repeated. Without, or with `strict`, all of it is one transaction.

    Parameters
    ----------
    log : EventLog
    records : iterable of Record or BadRow
        From one of the readers of `inhabit.importers`.
    user : str, optional
        Whose events to take; those of others are left out.
    strict : bool, default False
        Keep nothing at all if a single row is bad.
    progress : callable, optional
        Called with the number of rows read so far, after every transaction.

    Raises
    ------
    ImportFailure
        If the records are of several people and `user` is not given, `strict`
        and a row is bad, or the reader cannot read its source.
    """
    bad = _Bad(strict=strict)
    read = added = known = others = 0
    remaining = iter(records)
    whose = user
    with log.transaction() if strict or user is None else nullcontext():
        while batch := list(islice(remaining, _BATCH)):
            read += len(batch)
            good: list[Record] = []
            for record in batch:
                if isinstance(record, BadRow):
                    bad.add(record)
                    continue
                if whose is None:
                    whose = record.user
                if record.user == whose:
                    good.append(record)
                elif user is not None:
                    others += 1
                else:
                    raise _several_people(chain(batch, remaining), whose)
            new, refused = log.merge_rows([record.row for record in good])
            line_of = {id(record.row): record.line for record in good} if refused else {}
            for row in refused:
                bad.add(BadRow(line_of[id(row)], _already_taken(row)))
            added += new
            known += len(good) - new - len(refused)
            if progress is not None:
                progress(read)
    return ImportReport(
        read=read,
        added=added,
        known=known,
        others=others,
        bad=bad.count,
        bad_rows=tuple(bad.rows),
    )


def _several_people(records: Iterable[Record | BadRow], first: str) -> ImportFailure:
    users = sorted({first, *(record.user for record in records if isinstance(record, Record))})
    return ImportFailure(
        f"user: expected the events of one person, got those of {len(users)}: {name_some(users)}; "
        "name the user whose to take"
    )


def name_some(users: Sequence[str]) -> str:
    """Name the first few of many users."""
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    return f"{', '.join(map(repr, users[:5]))}{more}"


def _already_taken(row: EventRow) -> str:
    return f"id {row.id!r} already stands for another event"


def collect(
    records: Iterable[Record | BadRow], *, strict: bool = False
) -> tuple[dict[str, EventColumns], ImportReport]:
    """Gather records in memory: the columns of each user, and what became of the rows.

    The columns are those that a log would return after importing the records.

    Raises
    ------
    ImportFailure
        If `strict` and a row is bad, or the reader cannot read its source.
    """
    bad = _Bad(strict=strict)
    read = known = 0
    rows: defaultdict[str, dict[str, EventRow]] = defaultdict(dict)
    for record in records:
        read += 1
        if isinstance(record, BadRow):
            bad.add(record)
            continue
        line, user, row = record
        there = rows[user].setdefault(row.id, row)
        if there is row:
            continue
        if there.content == row.content:
            known += 1
        else:
            bad.add(BadRow(line, _already_taken(row)))
    columns = {user: EventColumns.from_rows(events.values()) for user, events in rows.items()}
    return columns, ImportReport(
        read=read,
        added=sum(map(len, columns.values())),
        known=known,
        others=0,
        bad=bad.count,
        bad_rows=tuple(bad.rows),
    )


def parse_time(name: str, text: str) -> datetime:
    """Time of an ISO 8601 text, or an `EventError` that shows how to write one."""
    text = text.strip()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise EventError(
            f"{name}: expected an ISO 8601 time with a UTC offset, such as "
            f"2026-03-01T07:30:00+01:00, got {text[:60]!r}"
        ) from None
    if time.tzinfo is None:
        raise EventError(
            f"{name}: expected a time with a UTC offset, got {text}, which names no instant: "
            f"write {time.isoformat()}+01:00, say, or {time.isoformat()}Z if it is UTC"
        )
    return time


def cannot_read(path: Path, error: Exception) -> ImportFailure:
    """Return the error for a file that cannot be opened or read."""
    return ImportFailure(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}")
