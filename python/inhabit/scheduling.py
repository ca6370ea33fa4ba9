"""When to train: a request, the facts of the device, and a pure function that joins them.

The operating system's scheduler (a systemd timer, launchd, Task Scheduler, BGTaskScheduler,
WorkManager) calls; `is_due` answers and says why. There is no daemon and no hidden clock: the same
arguments give the same answer.

The words are the platforms' own: ``requires_external_power`` and ``earliest_begin`` are
``BGProcessingTaskRequest.requiresExternalPower`` and ``earliestBeginDate``;
``requires_device_idle`` is WorkManager's ``setRequiresDeviceIdle``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from inhabit.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DAILY", "WEEKLY", "DeviceState", "Due", "TrainingRequest", "is_due"]

DAILY: Final = timedelta(days=1)
WEEKLY: Final = timedelta(days=7)

# fact of the device -> (the words when it holds, the words when it does not)
_WORDS: Final = {
    "external_power": ("on external power", "not on external power"),
    "unmetered_network": ("on an unmetered network", "not on an unmetered network"),
    "device_idle": ("the device is idle", "the device is in use"),
    "locked": ("the screen is locked", "the screen is not locked"),
    "battery_not_low": ("the battery is not low", "the battery is low"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """Five facts of the device; each is True, False, or None when nobody could tell.

    Parameters
    ----------
    external_power : bool or None
        Charging, or running on mains.
    unmetered_network : bool or None
        Connected, and the connection is not paid by volume.
    device_idle : bool or None
        Nobody is using the device.
    locked : bool or None
        The screen is locked.
    battery_not_low : bool or None
        The charge is not low (a machine without a battery: True).
    notes : tuple of str
        Where each fact came from, or why it is unknown. For people; `is_due` ignores it.

    Examples
    --------
    >>> DeviceState(external_power=True)
    DeviceState(external_power=True)
    """

    external_power: bool | None = None
    unmetered_network: bool | None = None
    device_idle: bool | None = None
    locked: bool | None = None
    battery_not_low: bool | None = None
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, bool | None]:
        """Return the facts by name, without the notes."""
        return {name: getattr(self, name) for name in _WORDS}

    def __repr__(self) -> str:
        known = (f"{name}={value}" for name, value in self.facts().items() if value is not None)
        return f"DeviceState({', '.join(known)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What a training asks of the device and of the clock.

    A training takes milliseconds and no network, so the default asks for external power only;
    `TrainingRequest.cautious` asks for all that the platforms' own background tasks ask.

    Parameters
    ----------
    requires_external_power, requires_unmetered_network, requires_device_idle, requires_locked, \
requires_battery_not_low : bool
        Facts of `DeviceState` that must hold.
    interval : timedelta or None
        Train when this long has passed since the last run (`DAILY`, `WEEKLY`); None: never by time.
    after_new_samples : int or None
        Train as soon as this many labels have matured since the last run; None: never by count.
    minimum_new_samples : int
        With fewer new samples than this the interval alone is no reason to train.
    flex : timedelta
        A run may come this much before the interval is over, so that a timer that fires a few
        seconds earlier than yesterday does not lose the day.
    earliest_begin : datetime or None
        Not before this instant (with offset).
    expiration : datetime or None
        The request is void from this instant on (with offset).
    unknown_means : {"no", "yes"}
        How an unknown fact of the device counts.

    Raises
    ------
    ConfigError
        A negative or zero cadence, a naive datetime, an expiration that is not after the earliest
        begin, or neither of the two cadences.
    """

    requires_external_power: bool = True
    requires_unmetered_network: bool = False
    requires_device_idle: bool = False
    requires_locked: bool = False
    requires_battery_not_low: bool = False
    interval: timedelta | None = DAILY
    after_new_samples: int | None = None
    minimum_new_samples: int = 1
    flex: timedelta = timedelta(hours=1)
    earliest_begin: datetime | None = None
    expiration: datetime | None = None
    unknown_means: Literal["no", "yes"] = "no"

    def __post_init__(self) -> None:
        if self.interval is None and self.after_new_samples is None:
            raise ConfigError("interval: expected a time or after_new_samples, got neither")
        for name in ("interval", "flex"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, timedelta):
                raise ConfigError(f"{name}: expected a timedelta, got {value!r}")
        if self.interval is not None and self.interval <= timedelta(0):
            raise ConfigError(f"interval: expected a positive time, got {self.interval}")
        if self.after_new_samples is not None and not self.after_new_samples >= 1:
            raise ConfigError(f"after_new_samples: expected >= 1, got {self.after_new_samples}")
        if not self.minimum_new_samples >= 0:
            raise ConfigError(f"minimum_new_samples: expected >= 0, got {self.minimum_new_samples}")
        if self.flex < timedelta(0) or (self.interval is not None and self.flex >= self.interval):
            raise ConfigError(f"flex: expected from 0 to below the interval, got {self.flex}")
        if self.unknown_means not in ("no", "yes"):
            raise ConfigError(f"unknown_means: expected 'no' or 'yes', got {self.unknown_means!r}")
        first, last = self.earliest_begin, self.expiration
        begin = None if first is None else _utc("earliest_begin", first)
        end = None if last is None else _utc("expiration", last)
        if begin is not None and end is not None and end <= begin:
            raise ConfigError(f"expiration: expected after earliest_begin {begin}, got {end}")

    @classmethod
    def cautious(cls, interval: timedelta = DAILY) -> TrainingRequest:
        """Ask for charging, Wi-Fi, a locked screen and an idle device.

        Examples
        --------
        >>> sorted(TrainingRequest.cautious().required())
        ['device_idle', 'external_power', 'locked', 'unmetered_network']
        """
        return cls(
            requires_external_power=True,
            requires_unmetered_network=True,
            requires_device_idle=True,
            requires_locked=True,
            interval=interval,
        )

    def required(self) -> Iterator[str]:
        """Yield the names of the facts that this request requires."""
        return (name for name in _WORDS if getattr(self, f"requires_{name}"))


@dataclass(frozen=True, slots=True)
class Due:
    """The answer of `is_due`: true or false, and why in words.

    ``reasons`` holds what speaks for it when it is due, what stands in the way when it is not.
    """

    due: bool
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.due

    def __str__(self) -> str:
        return f"{'due' if self.due else 'not due'}: {'; '.join(self.reasons)}"


def is_due(
    request: TrainingRequest,
    device_state: DeviceState,
    now: datetime,
    last_run: datetime | None = None,
    new_samples: int = 0,
) -> Due:
    """Decide whether to train now. Pure: looks at nothing but its arguments.

    Parameters
    ----------
    request : TrainingRequest
        What the training asks for.
    device_state : DeviceState
        The facts of the device.
    now : datetime
        The present instant, with offset.
    last_run : datetime or None
        When the last training ended, with offset; None: never.
    new_samples : int
        Labels that matured since then.

    Returns
    -------
    Due
        True when the cadence asks for a run and every required fact holds; with reasons.

    Raises
    ------
    ConfigError
        A naive datetime or a negative count.

    Examples
    --------
    >>> from datetime import datetime, UTC
    >>> now = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
    >>> print(is_due(TrainingRequest(), DeviceState(external_power=True), now, new_samples=3))
    due: never trained, 3 new samples; on external power
    >>> print(is_due(TrainingRequest(), DeviceState(), now, new_samples=3))
    not due: unknown whether on external power (counts as no)
    """
    if new_samples < 0:
        raise ConfigError(f"new_samples: expected >= 0, got {new_samples}")
    instant = _utc("now", now)
    last = None if last_run is None else _utc("last_run", last_run)
    asked, cadence = _cadence(request, instant, last, new_samples)
    hindrances = [] if asked else [cadence]
    hindrances += _outside(request, instant)
    granted: list[str] = []
    for fact in request.required():
        holds, words = _fact(fact, device_state.facts()[fact], request.unknown_means)
        (granted if holds else hindrances).append(words)
    if hindrances:
        return Due(due=False, reasons=tuple(hindrances))
    return Due(due=True, reasons=(cadence, *granted))


def _cadence(
    request: TrainingRequest, now: datetime, last: datetime | None, new_samples: int
) -> tuple[bool, str]:
    """Whether time or count asks for a run, in words."""
    samples = f"{new_samples} new sample{'' if new_samples == 1 else 's'}"
    wanted = request.after_new_samples
    if wanted is not None and new_samples >= wanted:
        return True, f"{samples}, {wanted} were waited for"
    if new_samples < request.minimum_new_samples:
        return False, f"nothing to learn: {samples}, {request.minimum_new_samples} needed"
    if request.interval is None:
        return False, f"waiting for more: {samples}, {wanted} wanted"
    if last is None:
        return True, f"never trained, {samples}"
    if last > now:  # a clock that was set back must not stop training for good
        return True, f"the last run lies in the future, the clock was changed; {samples}"
    since = f"last trained {_duration(now - last)} ago, every {_duration(request.interval)}"
    return now - last >= request.interval - request.flex, f"{since}, {samples}"


def _outside(request: TrainingRequest, now: datetime) -> list[str]:
    """Why ``now`` lies outside the time span of the request, if it does."""
    reasons = []
    if request.earliest_begin is not None and now < request.earliest_begin:
        reasons.append(f"not before {request.earliest_begin.isoformat(timespec='minutes')}")
    if request.expiration is not None and now >= request.expiration:
        reasons.append(f"expired at {request.expiration.isoformat(timespec='minutes')}")
    return reasons


def _fact(name: str, value: bool | None, unknown_means: str) -> tuple[bool, str]:  # noqa: FBT001
    """Whether one required fact counts as given, in words."""
    holds, fails = _WORDS[name]
    if value is None:
        return unknown_means == "yes", f"unknown whether {holds} (counts as {unknown_means})"
    return value, holds if value else fails


def _duration(time: timedelta) -> str:
    """Round to the largest unit that fits: ``3 d``, ``7 h``, ``20 min``."""
    minutes = int(time.total_seconds() // 60)
    if minutes >= 48 * 60 or minutes == 24 * 60:
        return f"{minutes // (24 * 60)} d"
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"


def _utc(name: str, value: datetime) -> datetime:
    """Convert to UTC: two datetimes of one zone would otherwise be compared by the wall clock."""
    if not isinstance(value, datetime):
        raise ConfigError(f"{name}: expected a datetime with offset, got {value!r}")
    if value.utcoffset() is None:
        raise ConfigError(f"{name}: expected a datetime with offset, got naive {value}")
    return value.astimezone(UTC)
