"""How the UTC offset of a log changed, found by index instead of by reading every event.

In the order (recorded_at, occurred_at, id) the log is a sequence of runs of one offset each. A
person has few offsets, and `events_by_offset` holds the events of each in that order, so the end of
the run before is one look-up per offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

_OFFSETS: Final = """
WITH RECURSIVE known(utc_offset_s) AS (
  SELECT min(utc_offset_s) FROM events
  UNION ALL
  SELECT (SELECT min(e.utc_offset_s) FROM events e WHERE e.utc_offset_s > known.utc_offset_s)
  FROM known WHERE known.utc_offset_s IS NOT NULL
)
SELECT utc_offset_s FROM known WHERE utc_offset_s IS NOT NULL
"""
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
    offsets = [offset for (offset,) in fetch(_OFFSETS, ())]
    changes: list[tuple[int, int]] = []
    run = _last_run(fetch, offsets, (until_us, -1 << 63, ""))
    while run is not None:
        end, offset = run
        run = _last_run(fetch, [other for other in offsets if other != offset], end)
        after = _BEFORE_ALL if run is None else run[0]
        ((begin_us,),) = fetch(_FIRST_AFTER, (offset, *after))
        if changes and offset == changes[-1][1]:
            changes.pop()  # the run between them was over at the instant it began
        if not changes or begin_us != changes[-1][0]:  # of one instant, the last event counts
            changes.append((begin_us, offset))
        if begin_us < since_us:
            break
    return changes[::-1]


def _last_run(fetch: Fetch, offsets: list[int], before: Place) -> tuple[Place, int] | None:
    """Return the last event of these offsets before a place in the order, and its offset."""
    ends = [(row, offset) for offset in offsets for row in fetch(_LAST_BEFORE, (offset, *before))]
    return max(ends, default=None)
