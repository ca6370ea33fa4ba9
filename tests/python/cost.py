"""What the log costs in a measure that is the same on every machine."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inhabit.events import EventLog


@contextmanager
def sqlite_steps(log: EventLog) -> Iterator[itertools.count[int]]:
    """Count the steps of SQLite's machine; afterwards `next` of the counter is their number."""
    taken = itertools.count()
    connection = log._database._open()
    connection.set_progress_handler(lambda: next(taken) and None, 1)
    yield taken
    connection.set_progress_handler(None, 0)
