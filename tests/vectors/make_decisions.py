"""Write decisions.json: what policies and states must lead to, in every language.

Run `python tests/vectors/make_decisions.py`; `make test` fails if the file differs from what this
makes. Policies and states are drawn with a fixed seed, near the thresholds, limits and clock times
at which decisions change.
"""

import json
import random
from datetime import datetime, time, timedelta, timezone
from pathlib import Path

from inhabit.decisions import Decision, DecisionPolicy, PolicyState, decide

FILE = Path(__file__).with_name("decisions.json")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
MIDNIGHT = datetime(2026, 3, 28, tzinfo=timezone.utc)  # noqa: UP017
OFFSETS = (3600, 7200, -18_000, 20_700)
MICROSECOND = timedelta(microseconds=1)


def drawn_policy(rng: random.Random) -> DecisionPolicy:
    """Return a policy with some settings changed."""
    below = rng.choice((0.4, 0.4, 0.25, 0.5))
    return DecisionPolicy(
        remind_below=below,
        suppress_above=rng.choice((0.8, 0.8, below)),
        hysteresis=0.0,
        quiet_hours=rng.choice((None, (time(22), time(7)), (time(12, 30), time(14)))),
        max_per_day=rng.choice((0, 1, 3, 3)),
        minimum_gap=timedelta(minutes=rng.choice((0, 45, 180))),
        day_start=rng.choice((time(4), time(0), time(4))),
        explore=rng.choice((0.0, 0.0, 0.1, 0.5)),
        seed=rng.choice((0, 1, 2**64 - 1)),
    )


def with_hysteresis(policy: DecisionPolicy, rng: random.Random) -> DecisionPolicy:
    """Return the policy with the hysteresis that its thresholds have room for."""
    room = (policy.suppress_above - policy.remind_below) / 2
    chosen = rng.choice((0.0, 0.05))
    return DecisionPolicy(
        **{name: getattr(policy, name) for name in policy.__slots__ if name != "hysteresis"},
        hysteresis=chosen if chosen < room else 0.0,
    )


def drawn_state(policy: DecisionPolicy, rng: random.Random) -> PolicyState:
    """Return a state, often right at a limit."""
    now = instant(MIDNIGHT + timedelta(minutes=15 * rng.randrange(96)), rng)
    edges = (policy.remind_below, policy.suppress_above, 0.0, 1.0)
    near = rng.choice(edges) + rng.choice((0.0, 0.0, 0.03, -0.03, 1e-9, -1e-9))
    gaps = (0, 44, 45, 46, 179, 180, 181, 600, 1500)
    reminders = [now - timedelta(minutes=rng.choice(gaps)) for _ in range(rng.choice((0, 0, 1, 3)))]
    return PolicyState(
        now=now,
        probability=min(max(rng.choice((near, rng.random())), 0.0), 1.0),
        done=rng.random() < 0.1,
        skipped=rng.random() < 0.1,
        reminders=tuple(instant(at, rng) for at in reminders),
        previous_zone=rng.choice((None, "low", "middle", "high")),
        snoozed_until=rng.choice((None, None, instant(now + timedelta(minutes=20), rng), now)),
        generation=rng.randrange(4),
        draw=rng.randrange(739_000 * 256, 740_000 * 256),
    )


def instant(at: datetime, rng: random.Random) -> datetime:
    """Return the instant on some local clock."""
    return at.astimezone(timezone(timedelta(seconds=rng.choice(OFFSETS))))


def described_policy(policy: DecisionPolicy) -> dict[str, object]:
    """Return a policy as JSON; times as minutes after midnight."""
    quiet = policy.quiet_hours
    return {
        "remind_below": policy.remind_below,
        "suppress_above": policy.suppress_above,
        "hysteresis": policy.hysteresis,
        "quiet_hours": None if quiet is None else [minutes(at) for at in quiet],
        "max_per_day": policy.max_per_day,
        "minimum_gap_s": policy.minimum_gap // timedelta(seconds=1),
        "day_start": minutes(policy.day_start),
        "explore": policy.explore,
        "seed": policy.seed,
    }


def described_state(state: PolicyState) -> dict[str, object]:
    """Return a state as JSON; instants as (microseconds of UTC, offset in seconds)."""
    return {
        "now": pair(state.now),
        "probability": state.probability,
        "done": state.done,
        "skipped": state.skipped,
        "reminders": [pair(at) for at in state.reminders],
        "previous_zone": state.previous_zone,
        "snoozed_until": None if state.snoozed_until is None else pair(state.snoozed_until),
        "generation": state.generation,
        "draw": state.draw,
    }


def described_decision(decision: Decision) -> dict[str, object]:
    """Return what was decided as JSON."""
    return {
        "action": decision.action,
        "reasons": list(decision.reasons),
        "propensity": decision.propensity,
        "zone": decision.zone,
    }


def pair(at: datetime) -> list[int]:
    """Return an instant as integers."""
    offset = at.utcoffset()
    assert offset is not None
    return [(at - EPOCH) // MICROSECOND, offset // timedelta(seconds=1)]


def minutes(at: time) -> int:
    """Return a time of day as minutes after midnight."""
    return at.hour * 60 + at.minute


def document() -> str:
    """Return the text of decisions.json."""
    rng = random.Random(2026)
    cases = []
    for _ in range(600):
        policy = with_hysteresis(drawn_policy(rng), rng)
        state = drawn_state(policy, rng)
        case = {
            "policy": described_policy(policy),
            "state": described_state(state),
            "decision": described_decision(decide(policy, state)),
        }
        cases.append(case)
    content = {"about": "made by make_decisions.py", "cases": cases}
    return json.dumps(content, separators=(",", ":")).replace('{"policy"', '\n{"policy"') + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
