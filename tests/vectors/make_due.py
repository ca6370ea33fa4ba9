"""Write due.json: whether a training is due, and why, in every language.

Run `python tests/vectors/make_due.py`; `make test` fails if the file differs from what this makes.
Requests and devices are drawn with a fixed seed, instants near those at which answers change.
"""

import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

from inhabit.scheduling import DAILY, WEEKLY, DeviceState, TrainingRequest, is_due

FILE = Path(__file__).with_name("due.json")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
NIGHT = datetime(2028, 2, 28, 22, tzinfo=timezone.utc)  # noqa: UP017 - the next day is a leap day
OFFSETS = (0, 3600, -18_000, -12_600, 20_700, 3208)
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
FACTS = tuple(DeviceState().facts())


def drawn_request(rng: random.Random) -> TrainingRequest:
    """Return a request with some settings changed."""
    interval = rng.choice((DAILY, DAILY, WEEKLY, timedelta(minutes=90), None))
    begin = rng.choice((None, None, instant(NIGHT + timedelta(minutes=30), rng)))
    end = rng.choice((None, None, instant(NIGHT + timedelta(hours=2), rng)))
    return TrainingRequest(
        **{f"requires_{fact}": rng.random() < 0.3 for fact in FACTS},
        interval=interval,
        after_new_samples=rng.choice((1, 10)) if interval is None else rng.choice((None, 10)),
        minimum_new_samples=rng.choice((0, 1, 1, 3)),
        flex=rng.choice((timedelta(0), timedelta(hours=1))),
        earliest_begin=begin,
        expiration=end,
        unknown_means=rng.choice(("no", "yes")),
    )


def drawn_last_run(request: TrainingRequest, now: datetime, rng: random.Random) -> datetime | None:
    """Return when the last training was, often right at the limit of the request."""
    limit = (request.interval or DAILY) - rng.choice((timedelta(0), request.flex))
    near = rng.choice((timedelta(0), MICROSECOND, -MICROSECOND, timedelta(minutes=7)))
    passed = rng.choice((limit + near, timedelta(minutes=rng.randrange(100_000)), -DAILY, None))
    return None if passed is None else instant(now - passed, rng)


def instant(at: datetime, rng: random.Random) -> datetime:
    """Return the instant on some local clock."""
    return at.astimezone(timezone(timedelta(seconds=rng.choice(OFFSETS))))


def described_request(request: TrainingRequest) -> dict[str, object]:
    """Return a request as JSON."""
    return {
        **{name: getattr(request, name) for name in (f"requires_{fact}" for fact in FACTS)},
        "interval_s": None if request.interval is None else request.interval // SECOND,
        "after_new_samples": request.after_new_samples,
        "minimum_new_samples": request.minimum_new_samples,
        "flex_s": request.flex // SECOND,
        "earliest_begin": pair(request.earliest_begin),
        "expiration": pair(request.expiration),
        "unknown_means": request.unknown_means,
    }


def pair(at: datetime | None) -> list[int] | None:
    """Return an instant as (microseconds of UTC, offset in seconds)."""
    if at is None:
        return None
    offset = at.utcoffset()
    assert offset is not None
    return [(at - EPOCH) // MICROSECOND, offset // SECOND]


def document() -> str:
    """Return the text of due.json."""
    rng = random.Random(2028)
    cases = []
    for _ in range(400):
        request = drawn_request(rng)
        device = DeviceState(**{fact: rng.choice((True, True, False, None)) for fact in FACTS})
        now = instant(NIGHT + timedelta(minutes=30 * rng.randrange(6)), rng)
        last_run, new_samples = drawn_last_run(request, now, rng), rng.choice((0, 1, 2, 3, 9, 10))
        answer = is_due(request, device, now, last_run, new_samples)
        case = {
            "request": described_request(request),
            "device": device.facts(),
            "now": pair(now),
            "last_run": pair(last_run),
            "new_samples": new_samples,
            "due": answer.due,
            "reasons": list(answer.reasons),
        }
        cases.append(case)
    content = {"about": "made by make_due.py", "cases": cases}
    return json.dumps(content, separators=(",", ":")).replace('{"request"', '\n{"request"') + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
