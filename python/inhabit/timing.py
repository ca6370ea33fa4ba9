"""What the time of day adds: the longer nothing has happened, the less is still to come.

A prediction is made once, at the beginning of a window. Later in the window, as long as the target
has not occurred, Bayes' rule updates it: with ``p`` the probability at the beginning and ``s`` the
share of this person's completions that come later than now,

``P(still to come | not yet) = p s / (p s + 1 - p)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LOOK_BACK_DAYS", "share_to_come", "still_to_come"]

LOOK_BACK_DAYS: Final = 64
"""How many days of completions tell the time of day."""

_DAY_US: Final = 86_400_000_000
_STRENGTH: Final = 2.0


def share_to_come(
    completed_us: NDArray[np.int64], start_us: int, end_us: int, now_us: int
) -> float:
    """Return the share of completions that come later in the window than now.

    ``(later + 2 left) / (n + 2)``, where ``left`` is the share of the window that lies ahead, ``n``
    the number of earlier days with a completion within the hours of the window, and ``later`` how
    many of these had the first one later in the day than now. Of a window longer than a day nothing
    but ``left`` is known.

    Parameters
    ----------
    completed_us : ndarray of int64
        When the target occurred, in local time, in microseconds.
    start_us, end_us, now_us : int
        The window and the present instant, in local time.

    Returns
    -------
    float
        In (0, 1]; 1 before the window begins.

    Examples
    --------
    >>> hour = 3_600_000_000
    >>> mornings = np.array([8 * hour - 24 * hour * day for day in (1, 2, 3)])
    >>> share_to_come(mornings, 0, 24 * hour, 6 * hour)
    0.9
    >>> share_to_come(mornings, 0, 24 * hour, 12 * hour)
    0.2
    """
    if now_us <= start_us:
        return 1.0
    length_us, elapsed_us = end_us - start_us, now_us - start_us
    left = (length_us - elapsed_us) / length_us
    if length_us > _DAY_US + _DAY_US // 24:  # a day with 25 hours is still a day
        return left
    day, delay_us = np.divmod(completed_us - start_us, _DAY_US)
    earlier = (day < 0) & (delay_us < length_us)
    day, delay_us = day[earlier], delay_us[earlier]
    order = np.lexsort((delay_us, day))
    first = np.unique(day[order], return_index=True)[1]
    delays_us = delay_us[order][first]
    later = int(np.count_nonzero(delays_us > elapsed_us))
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
    to_come = probability * share
    return to_come / (to_come + 1.0 - probability)
