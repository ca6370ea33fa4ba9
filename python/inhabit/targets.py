"""Targets: what is predicted, and what is known about it at any time.

A `Target` names an event kind and a subject, and the window in which it may happen. Whether it did
becomes known with time: positive as soon as the event is recorded, negative when the window has
closed without it, unknown before. `Evidence` holds, for many windows at once, from when on each
answer is known, so the label *as known at any instant* is two comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from inhabit.exceptions import ConfigError
from inhabit.moments import NEXT_DAY, REST_OF_DAY, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NEGATIVE", "POSITIVE", "UNKNOWN", "Evidence", "Happenings", "Target"]

POSITIVE: Final = 1
NEGATIVE: Final = 0
UNKNOWN: Final = -1

NEVER_US: Final = np.iinfo(np.int64).max
_NEVER: Final = np.array([NEVER_US])
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Target:
    """What is predicted: that an event of a kind, about a subject, occurs within a window.

    Parameters
    ----------
    kind : str, default "habit_completed"
        The kind of event to predict.
    subject : str, default ""
        What it is about. The target's event must carry exactly this subject.
    window : Window, timedelta or str, default ``rest-of-day``
        When it may happen, as seen from a moment.
    missing : {"negative", "unknown"}, default "negative"
        What it means that a window closed without the event: that it did not happen, or that
        nobody knows (then only an explicit skip is a negative).
    skip_kind : str or None, default "habit_skipped"
        The kind of event that says explicitly "not this time".
    grace : timedelta, default 0
        How long after the end of the window a late record still counts. The label matures then.
    once : bool, default False
        Whether once a day is enough: then a window that opens when the target has occurred in its
        local day already is no question any more, and has no label.

    Raises
    ------
    ConfigError
        If a setting is outside its range.
    """

    kind: str = "habit_completed"
    subject: str = ""
    window: Window = REST_OF_DAY
    missing: Literal["negative", "unknown"] = "negative"
    skip_kind: str | None = "habit_skipped"
    grace: timedelta = timedelta(0)
    once: bool = False

    if TYPE_CHECKING:  # more may be given than is kept

        def __init__(  # noqa: PLR0917 - the fields
            self,
            kind: str = ...,
            subject: str = ...,
            window: Window | timedelta | str = ...,
            missing: Literal["negative", "unknown"] = ...,
            skip_kind: str | None = ...,
            grace: timedelta = ...,
            once: bool = ...,  # noqa: FBT001
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", Window.parse(self.window))
        if not (isinstance(self.kind, str) and self.kind) or self.kind == self.skip_kind:
            raise ConfigError(
                f"target: expected a kind of event other than {self.skip_kind!r}, got {self.kind!r}"
            )
        if not isinstance(self.subject, str):
            raise ConfigError(f"subject: expected a string, got {self.subject!r}")
        if not isinstance(self.skip_kind, str | None):
            raise ConfigError(f"skip_kind: expected a string or None, got {self.skip_kind!r}")
        if self.missing not in ("negative", "unknown"):
            raise ConfigError(f"missing: expected negative or unknown, got {self.missing!r}")
        if self.once and self.window == NEXT_DAY:
            raise ConfigError("once: expected a window on the moment's own day, got next-day")
        if not isinstance(self.grace, timedelta) or self.grace < timedelta(0):
            raise ConfigError(f"grace: expected a timedelta of at least 0, got {self.grace!r}")

    @property
    def grace_us(self) -> int:
        """The grace in microseconds."""
        return self.grace // _MICROSECOND


class Happenings(NamedTuple):
    """Events of one kind as columns, in order of (occurred_at, recorded_at, id).

    Attributes
    ----------
    occurred_at_us : ndarray of int64, shape (n,)
        When they happened.
    visible_from_us : ndarray of int64, shape (n,)
        The first instant at which a prediction may know of them: an event is visible at `t` when
        it occurred and was recorded before `t`.
    utc_offset_s : ndarray of int64, shape (n,)
        Local time minus UTC where they happened.
    value : ndarray of float64, shape (n,)
        Their amounts; NaN where there is none.
    """

    occurred_at_us: NDArray[np.int64]
    visible_from_us: NDArray[np.int64]
    utc_offset_s: NDArray[np.int64]
    value: NDArray[np.float64]

    @classmethod
    def none(cls) -> Happenings:
        """Return no events."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, np.empty(0))

    @classmethod
    def seen(
        cls,
        occurred_at_us: NDArray[np.int64],
        recorded_at_us: NDArray[np.int64],
        utc_offset_s: NDArray[np.int64],
        value: NDArray[np.float64],
    ) -> Happenings:
        """Return events that are visible once they have occurred and were recorded."""
        visible_from_us = np.maximum(occurred_at_us, recorded_at_us) + 1
        return cls(occurred_at_us, visible_from_us, utc_offset_s, value)

    def first_visible_within(
        self, start_us: NDArray[np.int64], end_us: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return from when on it is known that one of the events occurred in [start, end).

        Returns
        -------
        ndarray of int64, shape of `start_us`
            `NEVER_US` where none did.
        """
        if not len(self.occurred_at_us):
            return np.full(start_us.shape, NEVER_US)
        first = self.occurred_at_us.searchsorted(start_us)
        after = self.occurred_at_us.searchsorted(end_us)
        ranges = np.empty(2 * len(first), np.intp)
        ranges[::2], ranges[1::2] = first, after
        padded = np.concatenate((self.visible_from_us, _NEVER))
        earliest = np.minimum.reduceat(padded, ranges)[::2]
        return np.where(first < after, earliest, NEVER_US)


class Evidence(NamedTuple):
    """From when on what is known about each of n windows; all arrays have shape (n,).

    Attributes
    ----------
    positive_from_us : ndarray of int64
        The first instant at which the target is known to have happened; `NEVER_US` if it is not.
    negative_from_us : ndarray of int64
        The first instant at which, short of that, it counts as not having happened.
    matures_at_us : ndarray of int64
        The end of the window and of the grace: what is known then is the label, for good.
    """

    positive_from_us: NDArray[np.int64]
    negative_from_us: NDArray[np.int64]
    matures_at_us: NDArray[np.int64]

    @classmethod
    def gather(  # noqa: PLR0917 - four columns of the same windows
        cls,
        target: Target,
        happened: Happenings,
        skipped: Happenings,
        start_us: NDArray[np.int64],
        end_us: NDArray[np.int64],
        day_start_us: NDArray[np.int64] | None = None,
    ) -> Evidence:
        """Return the evidence about windows [start, end), given the target's and skip events.

        `day_start_us` is when the local days of the windows begin; without it `target.once` has no
        effect.
        """
        matures_at_us = end_us + target.grace_us
        positive_from_us = happened.first_visible_within(start_us, end_us)
        negative_from_us = skipped.first_visible_within(start_us, end_us)
        if target.missing == "negative":
            negative_from_us = np.minimum(negative_from_us, matures_at_us)
        if target.once and day_start_us is not None:
            # Only closed windows are ever asked about, so what is known by the end decides.
            earlier_from_us = happened.first_visible_within(day_start_us, start_us)
            settled = earlier_from_us <= matures_at_us
            positive_from_us = np.where(settled, NEVER_US, positive_from_us)
            negative_from_us = np.where(settled, NEVER_US, negative_from_us)
        return cls(positive_from_us, negative_from_us, matures_at_us)

    def known_at(self, at_us: NDArray[np.int64] | int) -> NDArray[np.int8]:
        """Return the labels as known at an instant, or at one instant for each window."""
        label = np.full(self.matures_at_us.shape, UNKNOWN, np.int8)
        label[self.negative_from_us <= at_us] = NEGATIVE
        label[self.positive_from_us <= at_us] = POSITIVE
        return label

    def labels(self, as_of_us: int = NEVER_US - 1) -> NDArray[np.int8]:
        """Return the labels that count: as known when they matured, or now where they have not.

        A record that comes later than that changes no label.
        """
        return self.known_at(np.minimum(self.matures_at_us, as_of_us))
