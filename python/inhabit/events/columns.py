"""Many events as arrays: the form in which everything above the log reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inhabit.events.event import Event, EventRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class EventColumns:
    """Events as arrays of one length, in order of (occurred_at, recorded_at, id).

    Attributes
    ----------
    occurred_at_us, recorded_at_us : ndarray of int64
        Microseconds since 1970-01-01T00:00Z.
    utc_offset_s : ndarray of int32
        Local time minus UTC where the event happened, in seconds.
    kind, subject : ndarray of int32
        Codes: indices into `kinds` and `subjects`.
    kinds, subjects : tuple of str
        The names that occur, sorted.
    value : ndarray of float64
        Amounts; NaN where the event has none (and nowhere else).
    id : ndarray of object
        Identities, as str.
    """

    occurred_at_us: NDArray[np.int64]
    utc_offset_s: NDArray[np.int32]
    recorded_at_us: NDArray[np.int64]
    kind: NDArray[np.int32]
    kinds: tuple[str, ...]
    subject: NDArray[np.int32]
    subjects: tuple[str, ...]
    value: NDArray[np.float64]
    id: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.occurred_at_us)

    @classmethod
    def from_rows(cls, rows: Iterable[EventRow]) -> EventColumns:
        """Columns of the rows, in order, each id once (the first row with it stays)."""
        unique = {row.id: row for row in reversed(list(rows))}
        ordered = sorted(
            unique.values(), key=lambda row: (row.occurred_at_us, row.recorded_at_us, row.id)
        )
        return cls.from_sorted(ordered)

    @classmethod
    def from_sorted(cls, rows: Sequence[tuple[Any, ...]]) -> EventColumns:
        """Columns of rows (fields as in `EventRow`) that are unique and in order already."""
        columns = zip(*rows, strict=True) if rows else ((),) * 7
        ids, subject, kind, occurred_at_us, utc_offset_s, recorded_at_us, value = columns
        subjects = tuple(sorted(set(subject)))
        kinds = tuple(sorted(set(kind)))
        id_column = np.empty(len(ids), dtype=np.object_)
        id_column[:] = ids
        return cls(
            occurred_at_us=np.array(occurred_at_us, dtype=np.int64),
            utc_offset_s=np.array(utc_offset_s, dtype=np.int32),
            recorded_at_us=np.array(recorded_at_us, dtype=np.int64),
            kind=_codes(kind, kinds),
            kinds=kinds,
            subject=_codes(subject, subjects),
            subjects=subjects,
            value=np.array(value, dtype=np.float64),  # None becomes NaN
            id=id_column,
        )

    def select(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> EventColumns:
        """Return the events at `which` (a mask, ascending indices or a slice)."""
        return EventColumns(
            occurred_at_us=self.occurred_at_us[which],
            utc_offset_s=self.utc_offset_s[which],
            recorded_at_us=self.recorded_at_us[which],
            kind=self.kind[which],
            kinds=self.kinds,
            subject=self.subject[which],
            subjects=self.subjects,
            value=self.value[which],
            id=self.id[which],
        )

    def is_kind(self, *names: str) -> NDArray[np.bool_]:
        """Mask of the events whose kind is one of `names`."""
        return _is_any(self.kind, self.kinds, names)

    def is_subject(self, *names: str) -> NDArray[np.bool_]:
        """Mask of the events whose subject is one of `names`; ``""`` is no subject."""
        return _is_any(self.subject, self.subjects, names)

    def rows(self) -> Iterator[EventRow]:
        """Yield the events as stored rows."""
        for event_id, subject, kind, occurred_at_us, utc_offset_s, recorded_at_us, value in zip(
            self.id.tolist(),
            self.subject.tolist(),
            self.kind.tolist(),
            self.occurred_at_us.tolist(),
            self.utc_offset_s.tolist(),
            self.recorded_at_us.tolist(),
            self.value.tolist(),
            strict=True,
        ):
            yield EventRow(
                event_id,
                self.subjects[subject],
                self.kinds[kind],
                occurred_at_us,
                utc_offset_s,
                recorded_at_us,
                None if value != value else value,  # noqa: PLR0124  (NaN is no amount)
            )

    def events(self) -> Iterator[Event]:
        """Yield the events as `Event` objects."""
        return map(Event.from_row, self.rows())


def _codes(names: Sequence[str], known: tuple[str, ...]) -> NDArray[np.int32]:
    code = {name: index for index, name in enumerate(known)}
    return np.fromiter(map(code.__getitem__, names), dtype=np.int32, count=len(names))


def _is_any(
    codes: NDArray[np.int32], known: tuple[str, ...], names: tuple[str, ...]
) -> NDArray[np.bool_]:
    mask = np.zeros(len(codes), dtype=np.bool_)
    for name in set(names).intersection(known):
        mask |= codes == known.index(name)
    return mask
