"""Loop Habit Tracker (Android): its CSV export.

The app keeps one entry per habit and local day, without a time of day. A
completed day becomes a `HABIT_COMPLETED` and an explicit no a `HABIT_SKIPPED`,
in the last minute of the day, so that no prediction made during the day can
have seen it. What the cells say:

======  ==========  ===========================================  =========
number  name        meaning                                      event
======  ==========  ===========================================  =========
2       YES_MANUAL  done                                         completed
1       YES_AUTO    not done, and not due (a weekly habit)       none
0       NO          due, and not done                            skipped
-1      UNKNOWN     no answer                                    none
3       SKIP        does not apply to that day                   none
other   (number)    an amount, in thousandths of the unit        see below
======  ==========  ===========================================  =========

Versions before 2.3 write numbers, later ones names. Versions 2.0 wrote, by
mistake, ``Entry(timestamp=2021-09-08, value=2)`` into the file of all habits
(the app's issue 1162). An amount that reaches the daily target in
``Habits.csv`` is completed, one below it a `HABIT_PROGRESS`; without a known
daily target every amount above zero is completed. A no on the last day of the
export is no event yet: the day may not be over.
"""

from __future__ import annotations

import csv
import re
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from inhabit.events import HABIT_COMPLETED, HABIT_SKIPPED, EventRow
from inhabit.exceptions import EventError, ImportFailure
from inhabit.importers.records import BadRow, Record, cannot_read

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from datetime import tzinfo

HABIT_PROGRESS: Final = "habit_progress"

_YES, _YES_AUTO, _NO, _UNKNOWN, _SKIP = 2, 1, 0, -1, 3
_NAMED: Final = {
    "YES_MANUAL": _YES,
    "YES_AUTO": _YES_AUTO,
    "NO": _NO,
    "UNKNOWN": _UNKNOWN,
    "SKIP": _SKIP,
}
_ENTRY: Final = re.compile(
    r"Entry\(timestamp=[^,()]*, value=(-?[0-9]+)(?:, notes=[^\n]*?)?\)(?=,|\s|$)"
)
_FOLDER: Final = re.compile(r"([0-9]{3}) ?(.*)")  # "001 Meditate": position and name of one habit
_CHECKMARKS: Final = "Checkmarks.csv"
_END_OF_DAY: Final = time(23, 59)
_LARGEST: Final = 1 << 26  # bytes of one file in a zip: a century of a thousand habits
# RuntimeError is how zipfile says "encrypted" and "compressed in a way I do not know".
_UNREADABLE: Final = (
    OSError,
    UnicodeDecodeError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class _Habit:
    """A habit, as far as its name or ``Habits.csv`` tells."""

    name: str
    numerical: bool = False
    at_most: bool = False
    target: float = 0.0  # units a day; 0 if there is no daily target

    def event(self, code: int) -> tuple[str, float | None] | None:
        """Kind and value of the event that a cell stands for; None if for none."""
        if code in {_UNKNOWN, _SKIP}:
            return None
        if code in {_YES, _YES_AUTO, _NO} and not self.numerical:
            kind = {_YES: HABIT_COMPLETED, _NO: HABIT_SKIPPED}.get(code)
            return None if kind is None else (kind, None)
        amount = code / 1000
        if self.at_most:
            return (HABIT_COMPLETED if amount <= self.target else HABIT_SKIPPED), amount
        if amount == 0:
            return HABIT_SKIPPED, None
        return (HABIT_COMPLETED if amount >= self.target else HABIT_PROGRESS), amount


def is_loop_habits(path: Path) -> bool:
    """Whether a file looks like a ``Checkmarks.csv``: its first cell is a date, or says so."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline(1000).split(",")[0].strip()
    except OSError:
        return False
    return first == "Date" or _day(first) is not None


def read_loop_habits(
    path: str | os.PathLike[str], *, timezone: tzinfo | None = None, user: str = ""
) -> Iterator[Record | BadRow]:
    """Read the export of Loop Habit Tracker.

    Parameters
    ----------
    path : str or path-like
        The ``.zip`` that the app writes, a folder with what is in it, or one
        ``Checkmarks.csv``, of one habit or of all. Of a whole export the files
        of the single habits are read, since the file of all habits lacks
        entries in some versions (the app's issue 2336).
    timezone : tzinfo, optional
        Where the days were lived; by default this machine's time zone. Give
        the same one when importing again: other times are other events.
    user : str, default ""
        Whose events these are.

    Yields
    ------
    Record or BadRow
        For every cell that stands for an event, or makes no sense.

    Raises
    ------
    ImportFailure
        If this is no such export, or cannot be read.
    """
    path = Path(path)
    try:
        texts = _texts(path)
        habits = _habits(texts)
        single = [name for name in texts if name.name == _CHECKMARKS and len(name.parts) > 1]
        for name in single or [PurePosixPath(_CHECKMARKS)]:
            if name not in texts:
                raise ImportFailure(
                    f"{path} holds no {_CHECKMARKS}: give the .zip that Loop Habit Tracker "
                    "exports (Settings, Export as CSV), or a Checkmarks.csv out of it"
                )
            for item in _checkmarks(texts[name](), name, habits, timezone):
                if isinstance(item, BadRow):
                    yield BadRow(item.line, f"{name}: {item.reason}")
                else:
                    line, row = item
                    yield Record(line, user, row)
    except _UNREADABLE as error:
        raise cannot_read(path, error) from error


# --- the files of an export --------------------------------------------------


def _texts(path: Path) -> Mapping[PurePosixPath, Callable[[], str]]:
    """How to read the CSV files of the export, by their names inside it."""
    if path.is_dir():
        files = {
            PurePosixPath(file.relative_to(path)): file for file in sorted(path.rglob("*.csv"))
        }
        return {name: partial(file.read_text, "utf-8-sig") for name, file in files.items()}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".csv"))
        return {PurePosixPath(name): partial(_text_in_zip, path, name) for name in names}
    # One file. Its folder names the habit if the file is about only one.
    texts = {PurePosixPath(_CHECKMARKS): partial(path.read_text, "utf-8-sig")}
    if _is_single(path.read_text("utf-8-sig")):
        folder = path.absolute().parent
        name = folder.name if path.name == _CHECKMARKS else path.stem
        texts = {PurePosixPath(name, _CHECKMARKS): partial(path.read_text, "utf-8-sig")}
        beside = folder.parent / "Habits.csv"
    else:
        beside = path.parent / "Habits.csv"
    if beside.is_file():
        texts[PurePosixPath("Habits.csv")] = partial(beside.read_text, "utf-8-sig")
    return texts


def _text_in_zip(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(name).file_size  # zipfile reads no more than this
        if size > _LARGEST:
            raise ImportFailure(f"{path}: {name} has {size} bytes, which no export has")
        return archive.read(name).decode("utf-8-sig")


def _is_single(text: str) -> bool:
    """Whether a ``Checkmarks.csv`` is of one habit: ``Date,Value,Notes``, or no header at all."""
    first = text.partition("\n")[0]
    return first.startswith("Date,Value") or _day(first.partition(",")[0]) is not None


def _habits(texts: Mapping[PurePosixPath, Callable[[], str]]) -> Mapping[str, _Habit]:
    """Habits by position (``"001"``), in order; empty without a ``Habits.csv``."""
    read = texts.get(PurePosixPath("Habits.csv"))
    if read is None:
        return {}
    habits = {}
    for row in csv.DictReader(read().splitlines()):
        try:
            daily = int(row.get("FrequencyDenominator") or 1) == 1
            target = float(row.get("Target Value") or 0)
        except ValueError:
            daily, target = False, 0.0
        habits[row.get("Position") or ""] = _Habit(
            name=row.get("Name") or "",
            numerical=row.get("Type") == "NUMERICAL",
            at_most=daily and row.get("Target Type") == "AT_MOST",
            target=target if daily else 0.0,
        )
    return habits


# --- one Checkmarks.csv --------------------------------------------------------


def _checkmarks(
    text: str, name: PurePosixPath, habits: Mapping[str, _Habit], timezone: tzinfo | None
) -> Iterator[tuple[int, EventRow] | BadRow]:
    single = _is_single(text)
    rows = _rows(_ENTRY.sub(r"\1", text), single=single)
    header = rows.pop(0)[1] if rows and rows[0][1][0] == "Date" else []
    columns = [_single_habit(name, habits)] if single else _columns(header, rows, habits)
    last_day = max((cells[0] for _, cells in rows), default="")
    for line, cells in rows:
        day = _day(cells[0])
        if day is None:
            yield BadRow(line, f"expected a date such as 2026-03-01, got {cells[0][:60]!r}")
            continue
        time = _end_of(day, timezone)
        for habit, cell in zip(columns, cells[1:], strict=False):
            try:
                event = habit.event(_code(cell))
                if event is None or (event[0] == HABIT_SKIPPED and cells[0] == last_day):
                    continue
                kind, value = event
                yield line, EventRow.checked(kind, time, subject=habit.name, value=value)
            except EventError as error:
                yield BadRow(line, f"{habit.name}: {error}")
        missing = len(columns) - (len(cells) - 1)
        if missing > 0:
            yield BadRow(line, f"{missing} of {len(columns)} habits have no cell")


def _rows(text: str, *, single: bool) -> list[tuple[int, list[str]]]:
    """Cells of every line that is not blank, with the line's number."""
    reader = csv.reader(text.splitlines(keepends=True))
    rows = [(reader.line_num, cells) for cells in reader if any(cells)]
    if not single:
        for _, cells in rows:
            if cells[-1] == "":  # the app ends every line with a comma
                cells.pop()
    return rows


def _single_habit(name: PurePosixPath, habits: Mapping[str, _Habit]) -> _Habit:
    folder = name.parent.name or name.stem
    numbered = _FOLDER.fullmatch(folder)
    if numbered is None:
        return _Habit(folder)
    position, shortened = numbered.groups()  # the app leaves out all but plain letters
    return habits.get(position) or _Habit(shortened or folder)


def _columns(
    header: list[str], rows: list[tuple[int, list[str]]], habits: Mapping[str, _Habit]
) -> list[_Habit]:
    """Habits of the columns of the file of all habits.

    The app does not quote the names in the header, so a comma in a name
    shifts them; then only ``Habits.csv`` can tell.
    """
    named = {habit.name: habit for habit in habits.values()}
    names = header[1:]
    width = max((len(cells) - 1 for _, cells in rows), default=len(names))
    if width != len(names):
        if width != len(habits):
            raise ImportFailure(
                f"the header of {_CHECKMARKS} names {len(names)} habits, but the rows have "
                f"{width}: a name with a comma in it? Give the whole export, with its Habits.csv"
            )
        return list(habits.values())
    return [named.get(name, _Habit(name)) for name in names]


def _code(cell: str) -> int:
    cell = cell.strip()
    code = _NAMED.get(cell)
    if code is None:
        try:
            code = int(cell)
        except ValueError:
            code = -2
    if not _UNKNOWN <= code < 1 << 31:  # the app's numbers have 32 bits
        raise EventError(f"{cell[:60]!r} is no entry of Loop Habit Tracker")
    return code


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return None
    return day if 1970 <= day.year <= 9998 else None  # no phone was anywhere at other times


def _end_of(day: date, timezone: tzinfo | None) -> datetime:
    """Return the last minute of a local day, offset-aware."""
    last_minute = datetime.combine(day, _END_OF_DAY, timezone)
    return last_minute if timezone else last_minute.astimezone()
