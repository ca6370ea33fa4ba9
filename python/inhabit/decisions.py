"""What to do with a probability: remind, wait or suppress; a pure function, with its reasons.

`decide` joins a `DecisionPolicy` (what the product wants) and a `PolicyState` (what is known at one
instant) and returns a `Decision`. It reads no clock, no database and no random source: the same
arguments give the same decision, so a decision can be repeated, tested and explained.

A reminder is *allowed* when nothing stands in the way (already done, snoozed, quiet hours, the cap
of the day, the minimum gap). Only among allowed reminders does the probability choose, and only
there may chance take part: nothing random ever breaks a limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, Literal

from inhabit.exceptions import ConfigError, NonFiniteError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Action",
    "Decision",
    "DecisionPolicy",
    "PolicyState",
    "Zone",
    "best_hour",
    "decide",
    "rank",
]

Action = Literal["remind", "wait", "suppress"]
Zone = Literal["low", "middle", "high"]

_MASK64: Final = (1 << 64) - 1
_WANTED: Final[dict[Zone, Action]] = {"low": "remind", "middle": "wait", "high": "suppress"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPolicy:
    """What the product wants; frozen, so one policy can be shared and compared.

    Parameters
    ----------
    remind_below : float
        Below this probability the person needs help: remind.
    suppress_above : float
        Above this probability a reminder would only be noise: suppress.
    hysteresis : float
        A zone, once entered at its threshold, is left only this much beyond it, so that noise of
        less than half of this flips the decision at most once.
    quiet_hours : (time, time) or None
        Local wall-clock span without reminders, from (included) to (excluded), over midnight where
        the first is later.
    max_per_day : int
        Reminders in one local day, at most.
    minimum_gap : timedelta
        Time between two reminders, at least, in elapsed (not wall-clock) time.
    day_start : time
        When a local day begins: 04:00 counts the small hours to the evening before.
    explore : float
        With this probability an allowed reminder is turned into none and the reverse, so that the
        *effect* of reminding can be learnt; 0 switches chance off, 0.5 is a coin.
    seed : int or None
        Seed of those draws: the same seed draws the same for everybody. None is 0 here; a
        `Personalizer` draws by a number of its own for each home and subject then, so that chance
        differs between people, habits and days.

    Raises
    ------
    ConfigError
        A value outside its range; the message names it.

    Examples
    --------
    >>> DecisionPolicy(max_per_day=1).max_per_day
    1
    """

    remind_below: float = 0.4
    suppress_above: float = 0.8
    hysteresis: float = 0.05
    quiet_hours: tuple[time, time] | None = (time(22, 0), time(7, 0))
    max_per_day: int = 3
    minimum_gap: timedelta = timedelta(hours=3)
    day_start: time = time(4, 0)
    explore: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.remind_below <= self.suppress_above <= 1.0:
            raise ConfigError(
                "remind_below, suppress_above: expected 0 <= remind_below <= suppress_above <= 1, "
                f"got {self.remind_below} and {self.suppress_above}"
            )
        if not 0.0 <= 2.0 * self.hysteresis <= self.suppress_above - self.remind_below:
            raise ConfigError(
                "hysteresis: expected from 0 to half the distance of the thresholds, "
                f"got {self.hysteresis}"
            )
        if not 0.0 <= self.explore <= 0.5:
            raise ConfigError(f"explore: expected from 0 to 0.5, got {self.explore}")
        if not self.max_per_day >= 0:  # nor is NaN
            raise ConfigError(f"max_per_day: expected >= 0, got {self.max_per_day}")
        if not isinstance(self.minimum_gap, timedelta) or self.minimum_gap < timedelta(0):
            raise ConfigError(f"minimum_gap: expected a timedelta >= 0, got {self.minimum_gap!r}")
        if not isinstance(self.day_start, time):
            raise ConfigError(f"day_start: expected a time of day, got {self.day_start!r}")
        if not isinstance(self.seed, int | None):
            raise ConfigError(f"seed: expected a whole number or None, got {self.seed!r}")
        if self.quiet_hours is not None and not _are_different_times(self.quiet_hours):
            raise ConfigError(
                "quiet_hours: expected two different times such as (time(22), time(7)), or None "
                f"for no quiet, got {self.quiet_hours!r}"
            )


def _are_different_times(span: object) -> bool:
    match span:
        case (time() as start, time() as end):
            return start != end
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """What is known at the instant of a decision.

    Parameters
    ----------
    now : datetime
        The present instant, with the person's local offset.
    probability : float
        The calibrated probability that the target occurs in the window, in [0, 1].
    done : bool
        The target has occurred in the window already.
    skipped : bool
        The person said that they skip this time.
    reminders : tuple of datetime
        When reminders were given, with offset; those of the last two days are enough.
    previous_zone : {"low", "middle", "high"} or None
        ``zone`` of the decision before this one, for the hysteresis.
    snoozed_until : datetime or None
        The person asked for silence until then.
    generation : int
        The generation that predicted; 0 when nothing is trained yet.
    draw : int
        Names the moment: one moment, one draw, however often it is asked.
    """

    now: datetime
    probability: float
    done: bool = False
    skipped: bool = False
    reminders: tuple[datetime, ...] = ()
    previous_zone: Zone | None = None
    snoozed_until: datetime | None = None
    generation: int = 0
    draw: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.probability):
            raise NonFiniteError(
                f"probability: expected a number in [0, 1], got {self.probability}"
            )
        if not 0.0 <= self.probability <= 1.0:
            raise ConfigError(f"probability: expected a number in [0, 1], got {self.probability}")
        for name in ("now", "snoozed_until"):
            _require_offset(name, getattr(self, name))
        for reminder in self.reminders:
            _require_offset("reminders", reminder)
        if self.previous_zone not in (None, *_WANTED):
            raise ConfigError(
                f"previous_zone: expected {', '.join(_WANTED)} or None, got {self.previous_zone!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do at one moment, and why.

    Attributes
    ----------
    action : {"remind", "wait", "suppress"}
        Remind now; leave things as they are and ask again later; or drop what was planned.
    probability : float
        The prediction it rests on.
    reasons : tuple of str
        In words, the deciding one first.
    propensity : float
        Probability with which this side of "remind or not" was chosen; 1.0 where chance had no
        part. Needed to estimate the effect of reminding from these decisions.
    generation : int
        The generation that predicted.
    zone : {"low", "middle", "high"}
        Where the probability lies, hysteresis included; the next decision wants it back. When there
        was nothing to predict (done, skipped), the zone of the decision before, or ``"middle"``.
    at : datetime
        When it was made.
    """

    action: Action
    probability: float
    reasons: tuple[str, ...]
    propensity: float
    generation: int
    zone: Zone
    at: datetime

    def __str__(self) -> str:
        return f"{self.action}: {'; '.join(self.reasons)}"

    def __repr__(self) -> str:
        chance = "" if self.propensity == 1.0 else f", propensity={self.propensity:g}"
        return (
            f"Decision({self.action!r}, probability={self.probability:.2f}{chance}, "
            f"reasons={list(self.reasons)})"
        )


def decide(policy: DecisionPolicy, state: PolicyState) -> Decision:
    """Decide what to do. Pure.

    Parameters
    ----------
    policy : DecisionPolicy
        What the product wants.
    state : PolicyState
        What is known now.

    Returns
    -------
    Decision
        The action with its reasons and its propensity.

    Examples
    --------
    >>> evening = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
    >>> print(decide(DecisionPolicy(), PolicyState(now=evening, probability=0.31)))
    remind: 31 % likely, below 40 %
    >>> print(decide(DecisionPolicy(), PolicyState(now=evening, probability=0.31, done=True)))
    suppress: already done
    >>> print(decide(DecisionPolicy(), PolicyState(now=evening.replace(hour=23), probability=0.31)))
    wait: quiet hours from 22:00 to 07:00; 31 % likely, below 40 %
    """
    zone = _zone(policy, state)
    likelihood = _likelihood(policy, state.probability, zone)
    wanted = _WANTED[zone]
    action: Action = wanted
    propensity, reasons = 1.0, [likelihood]
    if state.done or state.skipped:
        action, reasons = "suppress", ["already done" if state.done else "skipped by the person"]
        zone = state.previous_zone or "middle"  # what is known says nothing about noise
    elif hindrances := _hindrances(policy, state):
        if wanted == "remind":
            action, reasons = "wait", [*hindrances, likelihood]
    elif policy.explore > 0.0:
        flipped = _uniform(policy.seed or 0, state.draw) < policy.explore
        propensity = policy.explore if flipped else 1.0 - policy.explore
        if flipped:
            action = "wait" if wanted == "remind" else "remind"
            by_chance = f"by chance ({policy.explore:.0%}), to learn what a reminder changes"
            reasons = [by_chance.replace("%", " %"), likelihood]
    return Decision(
        action=action,
        probability=state.probability,
        reasons=tuple(reasons),
        propensity=propensity,
        generation=state.generation,
        zone=zone,
        at=state.now,
    )


def best_hour(
    outcomes: Mapping[int, tuple[int, int]],
    usual: Mapping[int, float] | None = None,
    strength: float = 20.0,
) -> int | None:
    """Return the hour at which a reminder is answered best.

    Rates of one person are few and noisy, so each is shrunk towards the usual rate of that hour:
    ``(answered + strength * usual) / (given + strength)``. In HeartSteps a person's own best hour,
    not shrunk, answered worse than everybody's best hour (53.7 % against 56.2 %).

    Parameters
    ----------
    outcomes : mapping of int to (int, int)
        Hour -> (reminders answered, reminders given).
    usual : mapping of int to float, optional
        Hour -> rate among many people; this person's overall rate where it is missing.
    strength : float
        How many reminders the usual rate is worth.

    Returns
    -------
    int or None
        The earliest of the best hours; None without any.

    Examples
    --------
    >>> best_hour({8: (1, 1), 13: (6, 20), 18: (30, 40)})
    18
    """
    given = sum(n for _, n in outcomes.values())
    overall = sum(s for s, _ in outcomes.values()) / given if given else 0.5
    usual = usual or {}

    def rate(hour: int) -> float:
        answered, n = outcomes.get(hour, (0, 0))
        return (answered + strength * usual.get(hour, overall)) / (n + strength)

    return max(sorted({*outcomes, *usual}), key=rate, default=None)


def rank(probabilities: Mapping[str, float]) -> list[str]:
    """Return the items, the most probable first, equal ones by name.

    Examples
    --------
    >>> rank({"walk": 0.3, "read": 0.8, "draw": 0.3})
    ['read', 'draw', 'walk']
    """
    for name, probability in probabilities.items():
        if not math.isfinite(probability):
            raise NonFiniteError(f"probabilities[{name!r}]: expected a number, got {probability}")
    return sorted(probabilities, key=lambda name: (-probabilities[name], name))


def _zone(policy: DecisionPolicy, state: PolicyState) -> Zone:
    """Low, middle or high; the zone of before reaches ``hysteresis`` beyond its threshold."""
    before, p = state.previous_zone, state.probability
    if p < policy.remind_below + (policy.hysteresis if before == "low" else 0.0):
        return "low"
    if p > policy.suppress_above - (policy.hysteresis if before == "high" else 0.0):
        return "high"
    return "middle"


def _likelihood(policy: DecisionPolicy, probability: float, zone: Zone) -> str:
    likely = f"{_percent(probability)} likely"
    if zone == "low":
        beyond = "" if probability < policy.remind_below else " a moment ago, not clearly above yet"
        return f"{likely}, below {_percent(policy.remind_below)}{beyond}"
    if zone == "high":
        beyond = (
            "" if probability > policy.suppress_above else " a moment ago, not clearly below yet"
        )
        return f"{likely}, above {_percent(policy.suppress_above)}{beyond}"
    low, high = _percent(policy.remind_below), _percent(policy.suppress_above)
    return f"{likely}, between {low} and {high}"


def _hindrances(policy: DecisionPolicy, state: PolicyState) -> list[str]:
    """Everything that forbids a reminder now."""
    reasons = []
    now = state.now.astimezone(UTC)
    if state.snoozed_until is not None and now < state.snoozed_until.astimezone(UTC):
        reasons.append(f"snoozed until {state.snoozed_until:%H:%M}")
    if policy.quiet_hours is not None and _within(policy.quiet_hours, state.now):
        start, end = policy.quiet_hours
        reasons.append(f"quiet hours from {start:%H:%M} to {end:%H:%M}")
    today = _local_day(state.now, policy.day_start)
    given = sum(_local_day(reminder, policy.day_start) == today for reminder in state.reminders)
    if given >= policy.max_per_day:
        reasons.append(f"{given} of {policy.max_per_day} reminders today")
    # Elapsed time, whatever the wall clocks and a clock set back in between may say.
    gaps = [abs(now - reminder.astimezone(UTC)) for reminder in state.reminders]
    if gaps and min(gaps) < policy.minimum_gap:
        minutes, wanted = (int(t.total_seconds() // 60) for t in (min(gaps), policy.minimum_gap))
        reasons.append(f"last reminder {minutes} min ago, {wanted} min apart at least")
    return reasons


def _within(span: tuple[time, time], now: datetime) -> bool:
    start, end = span
    clock = now.time()
    return start <= clock < end if start < end else clock >= start or clock < end


def _local_day(instant: datetime, day_start: time) -> date:
    """Return the local date on which the day of ``instant`` began."""
    day = instant.date()
    return day if instant.time() >= day_start else day - timedelta(days=1)


def _uniform(seed: int, draw: int) -> float:
    """Return output ``draw`` of SplitMix64(``seed``) as a number in [0, 1).

    References
    ----------
    Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
    """
    z = (seed + (draw + 1) * 0x9E3779B97F4A7C15) & _MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    return float((z ^ (z >> 31)) >> 11) * 2.0**-53


def _percent(probability: float) -> str:
    return f"{100.0 * probability:.0f} %"


def _require_offset(name: str, value: datetime | None) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise ConfigError(f"{name}: expected a datetime with offset, got {value!r}")
    if value.utcoffset() is None:
        raise ConfigError(f"{name}: expected a datetime with offset, got naive {value}")
