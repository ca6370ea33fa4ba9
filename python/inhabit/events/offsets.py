"""How the UTC offset of a log changed, found by index instead of by reading every event.

In the order (recorded_at, occurred_at, id) the log is a sequence of runs of one offset each. A
person has few offsets, and `events_by_offset` holds the events of each in that order, so the end of
the run before is one look-up per offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN: Final = """
known(utc_offset_s) AS (
  SELECT min(utc_offset_s) FROM events
  UNION ALL
  SELECT (SELECT min(e.utc_offset_s) FROM events e WHERE e.utc_offset_s > known.utc_offset_s)
  FROM known WHERE known.utc_offset_s IS NOT NULL
)
"""
"""A recursive table of the offsets of a log and NULL, by one look-up each."""

_ENDS: Final = f"""
WITH RECURSIVE {KNOWN}
SELECT utc_offset_s, recorded_at_us, occurred_at_us, id
FROM known CROSS JOIN events USING (utc_offset_s)
WHERE id = (
  SELECT e.id FROM events e
  WHERE e.utc_offset_s = known.utc_offset_s AND e.recorded_at_us < ?
  ORDER BY e.recorded_at_us DESC, e.occurred_at_us DESC, e.id DESC LIMIT 1
)
"""  # noqa: S608 - of constants
_LAST_BEFORE: Final = """
SELECT recorded_at_us, occurred_at_us, id FROM events
WHERE utc_offset_s = ? AND (recorded_at_us, occurred_at_us, id) < (?, ?, ?)
ORDER BY recorded_at_us DESC, occurred_at_us DESC, id DESC LIMIT 1
"""
_FIRST_AFTER: Final = """
SELECT recorded_at_us FROM events
WHERE utc_offset_s = ? AND (recorded_at_us, occurred_at_us, id) > (?, ?, ?)
ORDER BY recorded_at_us, occurred_at_us, id LIMIT 1
"""

Fetch: TypeAlias = "Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]]"
Place: TypeAlias = tuple[int, int, str]  # (recorded_at_us, occurred_at_us, id)

_BEFORE_ALL: Final[Place] = (-1 << 63, -1 << 63, "")


def offset_changes(fetch: Fetch, since_us: int, until_us: int) -> list[tuple[int, int]]:
    """See `EventLog.offset_changes`; goes backward from `until_us`, run by run."""
    # The last event of each offset before the runs that were looked at.
    ends: dict[int, Place] = {offset: tuple(place) for offset, *place in fetch(_ENDS, (until_us,))}
    changes: list[tuple[int, int]] = []
    while ends:
        offset = max(ends, key=ends.__getitem__)
        del ends[offset]
        before = max(ends.values(), default=_BEFORE_ALL)
        ((begin_us,),) = fetch(_FIRST_AFTER, (offset, *before))
        if changes and offset == changes[-1][1]:
            changes.pop()  # the run between them was over at the instant it began
        if not changes or begin_us != changes[-1][0]:  # of one instant, the last event counts
            changes.append((begin_us, offset))
        if begin_us < since_us:
            break
        for place in fetch(_LAST_BEFORE, (offset, *before)):
            ends[offset] = place
    return changes[::-1]
