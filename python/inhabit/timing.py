"""What the time of day adds: the longer nothing has happened, the less is still to come.

A prediction is made once, at the beginning of a window. Later in the window, as long as the target
has not occurred, Bayes' rule updates it: with ``p`` the probability at the beginning and ``s`` the
share of this person's completions that come later than now,

``P(still to come | not yet) = p s / (p s + 1 - p)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from inhabit.moments import US_PER_DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LOOK_BACK_DAYS", "first_delays", "share_to_come", "still_to_come"]

LOOK_BACK_DAYS: Final = 64
"""How many days of completions tell the time of day."""

_STRENGTH: Final = 2.0


def first_delays(
    completed_us: NDArray[np.int64], start_us: int, length_us: int
) -> NDArray[np.int64]:
    """Return how long after the hour of a window's start the first completion of each day came.

    Parameters
    ----------
    completed_us : ndarray of int64
        When the target occurred, in local time, in microseconds.
    start_us : int
        When the window starts, in local time; only completions before it count.
    length_us : int
        How long it is; later completions do not count. Of a window longer than a day none does.

    Returns
    -------
    ndarray of int64
        In microseconds, ascending.

    Examples
    --------
    >>> hour = 3_600_000_000
    >>> mornings = np.array([8 * hour - 24 * hour * day for day in (1, 2, 3)])
    >>> (first_delays(mornings, 0, 24 * hour) // hour).tolist()
    [8, 8, 8]
    """
    if length_us > US_PER_DAY + US_PER_DAY // 24:  # a day with 25 hours is still a day
        return np.empty(0, dtype=np.int64)
    day, delay_us = np.divmod(np.sort(completed_us - start_us), US_PER_DAY)
    counts = (day < 0) & (delay_us < length_us)
    day, delay_us = day[counts], delay_us[counts]
    first = np.ones(len(day), np.bool_)
    first[1:] = day[1:] != day[:-1]
    return np.sort(delay_us[first])


def share_to_come(delays_us: NDArray[np.int64], length_us: int, elapsed_us: int) -> float:
    """Return the share of completions that come later in the window than now.

    ``(later + 2 left) / (n + 2)``, where ``left`` is the share of the window that lies ahead, and
    ``later`` of the ``n`` delays are longer than the time that has gone.

    Parameters
    ----------
    delays_us : ndarray of int64
        From `first_delays`.
    length_us : int
        How long the window is.
    elapsed_us : int
        How much of it has gone; negative before it begins.

    Returns
    -------
    float
        In (0, 1]; 1 before the window begins.

    Examples
    --------
    >>> hour = 3_600_000_000
    >>> mornings = np.array([8, 8, 8]) * hour
    >>> share_to_come(mornings, 24 * hour, 6 * hour), share_to_come(mornings, 24 * hour, 12 * hour)
    (0.9, 0.2)
    """
    if elapsed_us <= 0:
        return 1.0
    left = (length_us - elapsed_us) / length_us
    later = len(delays_us) - int(delays_us.searchsorted(elapsed_us, side="right"))
    return (later + _STRENGTH * left) / (len(delays_us) + _STRENGTH)


def still_to_come(probability: float, share: float) -> float:
    """Return the probability given that it has not happened yet: ``p s / (p s + 1 - p)``.

    Examples
    --------
    >>> still_to_come(0.5, 1.0)
    0.5
    >>> still_to_come(0.5, 0.0)
    0.0
    """
    if share == 1.0:  # exactly what was said, not nearly
        return probability
    to_come = probability * share
    return to_come / (to_come + 1.0 - probability)
