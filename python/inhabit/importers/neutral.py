"""The neutral formats, in both directions: CSV and JSON Lines.

Columns (CSV) and keys (JSON Lines) are the same: ``user``, ``subject``,
``occurred_at``, ``kind``, ``value``, ``recorded_at``, ``id``. Only
``occurred_at`` (ISO 8601 with a UTC offset) and ``kind`` must be there;
``recorded_at`` is ``occurred_at`` unless given, and where it is earlier (two
clocks that disagree); two rows without an ``id`` that say the same are one
event. Columns of other names are ignored.

Blanks around a cell of a CSV are not part of it. In a file whose header is
quoted they are: that is how `write_csv` keeps a name that ends with a blank.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from inhabit.events import EventRow, datetime_from_us
from inhabit.exceptions import EventError, ImportFailure, NonFiniteError
from inhabit.importers.loop_habits import is_loop_habits, read_loop_habits
from inhabit.importers.records import BadRow, Record, cannot_read, parse_time

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from inhabit.events import EventColumns

_COLUMNS: Final = ("user", "subject", "occurred_at", "kind", "value", "recorded_at", "id")
_REQUIRED: Final = ("occurred_at", "kind")


# --- in ------------------------------------------------------------------------


def read_file(path: str | os.PathLike[str]) -> Iterator[Record | BadRow]:
    """Read events from a file whose name and first line tell what it is.

    CSV (neutral, or a ``Checkmarks.csv`` of Loop Habit Tracker), JSON Lines
    (``.jsonl`` or ``.ndjson``), or a ``.zip`` of Loop Habit Tracker.
    """
    suffix = Path(path).suffix.lower()
    if suffix in {".jsonl", ".ndjson"}:
        return read_jsonl(path)
    if suffix == ".zip" or is_loop_habits(Path(path)):
        return read_loop_habits(path)
    return read_csv(path)


def read_csv(path: str | os.PathLike[str]) -> Iterator[Record | BadRow]:
    """Read the neutral CSV: UTF-8, a header line, separated by ``,``, ``;`` or tabs.

    Yields
    ------
    Record or BadRow
        One for each row, in the order of the file.

    Raises
    ------
    ImportFailure
        If the file cannot be read, or its header lacks a required column.
    """
    path = Path(path)
    try:
        # Bytes that are not UTF-8 become lone surrogates: bad rows, not a bad file.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _csv_rows(file, path)
    except OSError as error:
        raise cannot_read(path, error) from error


def _csv_rows(file: TextIO, path: Path) -> Iterator[Record | BadRow]:
    first = file.readline()
    if "\0" in first:
        raise ImportFailure(f"{path} is not UTF-8, but UTF-16 perhaps: save it as CSV in UTF-8")
    delimiter = max(",;\t", key=first.count)
    literal = first.startswith('"')
    header = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
    place = _places(header, path)
    user_at, subject_at, occurred_at, kind_at, value_at, recorded_at, id_at = (
        place.get(name) for name in _COLUMNS
    )
    assert occurred_at is not None
    assert kind_at is not None
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=not literal)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(reader.line_num + 1, str(error))
            continue
        line = reader.line_num + 1  # the header has been read already
        if not literal:
            cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if len(cells) != len(header):
            yield BadRow(line, f"expected {len(header)} cells as in the header, got {len(cells)}")
            continue
        try:
            row = _row(
                kind=cells[kind_at],
                occurred_at=cells[occurred_at],
                subject="" if subject_at is None else cells[subject_at],
                value=None if value_at is None else _number(cells[value_at]),
                recorded_at=None if recorded_at is None else cells[recorded_at],
                id=None if id_at is None else cells[id_at],
            )
        except (EventError, NonFiniteError) as error:
            yield BadRow(line, str(error))
        else:
            yield Record(line, "" if user_at is None else cells[user_at], row)


def _places(header: list[str], path: Path) -> Mapping[str, int]:
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise ImportFailure(
            f"{path}: the first line must name the columns {','.join(_COLUMNS[:5])} "
            f"(recorded_at and id may follow); {' and '.join(missing)} not found in "
            f"{','.join(header)[:200] or 'an empty file'}"
        )
    twice = [name for name in _COLUMNS if header.count(name) > 1]
    if twice:
        raise ImportFailure(f"{path}: the column {twice[0]} stands in the first line twice")
    return {name: header.index(name) for name in _COLUMNS if name in header}


def _number(text: str) -> float | None:
    if not text or text.isspace():
        return None
    try:
        return float(text)
    except ValueError:
        raise EventError(f"value: expected a number or nothing, got {text[:60]!r}") from None


def _row(
    *,
    kind: str,
    occurred_at: str,
    subject: str,
    value: float | None,
    recorded_at: str | None,
    id: str | None,  # noqa: A002
) -> EventRow:
    occurred = parse_time("occurred_at", occurred_at)
    # Two clocks may disagree about a second, but no event is known before it happens.
    recorded = max(occurred, parse_time("recorded_at", recorded_at)) if recorded_at else None
    return EventRow.checked(
        kind,
        occurred,
        subject=subject,
        recorded_at=recorded,
        value=value,
        id=id or None,
    )


class _Line(msgspec.Struct, frozen=True):
    """One line of JSON Lines."""

    kind: str
    occurred_at: str
    user: str = ""
    subject: str = ""
    value: float | None = None
    recorded_at: str | None = None
    id: str | None = None


def read_jsonl(path: str | os.PathLike[str]) -> Iterator[Record | BadRow]:
    """Read JSON Lines: one object a line, with the keys of the neutral CSV.

    Yields
    ------
    Record or BadRow
        One for each line that is not blank.

    Raises
    ------
    ImportFailure
        If the file cannot be read.
    """
    decode = msgspec.json.Decoder(_Line).decode
    path = Path(path)
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if text.isspace():
                    continue
                try:
                    line = decode(text)
                    row = _row(
                        kind=line.kind,
                        occurred_at=line.occurred_at,
                        subject=line.subject,
                        value=line.value,
                        recorded_at=line.recorded_at,
                        id=line.id,
                    )
                except (msgspec.MsgspecError, EventError, NonFiniteError) as error:
                    yield BadRow(number, str(error))
                else:
                    yield Record(number, line.user, row)
    except OSError as error:
        raise cannot_read(path, error) from error


# --- out -----------------------------------------------------------------------


def write_csv(file: TextIO, events: EventColumns, *, user: str = "") -> None:
    """Write events as neutral CSV; reading it back gives the same rows.

    Parameters
    ----------
    file : text file
        Open for writing UTF-8, with ``newline=""``.
    events : EventColumns
        ``log.columns()``, for example.
    user : str, default ""
        What to write in the column ``user``.
    """
    names = (user, *events.kinds, *events.subjects, *events.id.tolist())
    literal = any(name != name.strip() for name in names)
    writer = csv.writer(
        file, lineterminator="\n", quoting=csv.QUOTE_ALL if literal else csv.QUOTE_MINIMAL
    )
    writer.writerow(_COLUMNS)
    for row in events.rows():
        occurred_at, recorded_at = _times(row)
        value = "" if row.value is None else repr(row.value)
        writer.writerow((user, row.subject, occurred_at, row.kind, value, recorded_at, row.id))


def write_jsonl(file: TextIO, events: EventColumns, *, user: str = "") -> None:
    """Write events as JSON Lines; the parameters are those of `write_csv`."""
    encode = msgspec.json.Encoder().encode
    for row in events.rows():
        occurred_at, recorded_at = _times(row)
        line = _Line(
            user=user,
            subject=row.subject,
            occurred_at=occurred_at,
            kind=row.kind,
            value=row.value,
            recorded_at=recorded_at,
            id=row.id,
        )
        file.write(encode(line).decode() + "\n")


def _times(row: EventRow) -> tuple[str, str]:
    occurred_at = datetime_from_us(row.occurred_at_us, row.utc_offset_s)
    recorded_at = datetime_from_us(row.recorded_at_us, row.utc_offset_s)
    return occurred_at.isoformat(), recorded_at.isoformat()
