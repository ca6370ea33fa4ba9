"""Write personalizer.json: what the whole loop must train, predict and decide, in every language.

Run `python tests/vectors/make_personalizer.py`; `make test` fails if the file differs from what
this makes. The people are some of loop.json's. Each is trained in the middle of their log, asked
now and then for the days that follow, and trained again at the end, which goes on from the first
training.
"""

import hashlib
import json
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import make_loop
import numpy as np

from inhabit.decisions import DecisionPolicy
from inhabit.device import DeviceState
from inhabit.events import datetime_from_us
from inhabit.personalizer import Personalizer
from inhabit.settings import Settings

FILE = Path(__file__).with_name("personalizer.json")
PEOPLE = {
    "clocks go back": "builtin",
    "travel": "none",
    "answers are missing": "builtin",
    "overlapping windows": "none",
    "taken up later": "builtin",  # after the first training; the first decision comes first
    "a long log": "none",
}
POLICY = DecisionPolicy(remind_below=0.55, suppress_above=0.7, explore=0.2, seed=7)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017


def instant(time_us: int, offset: timedelta) -> datetime:
    """Return an instant on the local clock."""
    return datetime_from_us(time_us).astimezone(timezone(offset))


def pair(at: datetime) -> list[int]:
    """Return an instant as microseconds of UTC and offset in seconds."""
    offset = at.utcoffset()
    assert offset is not None
    return [(at - EPOCH) // timedelta(microseconds=1), offset // timedelta(seconds=1)]


def bits(number: float) -> int:
    """Return a float64 as an integer."""
    return int(np.float64(number).view(np.uint64))


def lived(case: make_loop.Case, prior: str, home: str) -> dict[str, object]:
    """Return what the loop makes of one person's log."""
    travels = case.name in {"travel", "answers are missing"}
    offset_at = make_loop.traveller if travels else make_loop.berlin
    first_us, last_us = (f(row.occurred_at_us for row in case.rows) for f in (min, max))
    middle_us = first_us + (last_us - first_us) * 3 // 5
    now = [EPOCH]

    def tell(time_us: int) -> datetime:
        now[0] = instant(time_us, offset_at(datetime_from_us(time_us)))
        return now[0]

    settings = Settings(
        window=str(case.target.window),
        missing=case.target.missing,
        moments=case.schedule.times,
        day_start=case.schedule.day_start,
        prior=prior,
        policy=replace(POLICY, day_start=case.schedule.day_start),
    )
    hour_us = 3_600_000_000
    asked = [middle_us + hour_us * 5 * step for step in range(1, 40)]
    with Personalizer.open(
        "meditate", home, settings=settings, clock=lambda: now[0], device=DeviceState
    ) as me:
        me.log.append_rows(case.rows)
        trainings = [trained(me, tell(middle_us))]
        looks = [looked(me, tell(time_us)) for time_us in asked if time_us < last_us]
        trainings.append(trained(me, tell(last_us + 30 * hour_us)))
        looks.append(looked(me, now[0]))
        effects = [round(effect, 9) + 0.0 for effect in me.explain().values()]  # no -0.0
    return {
        "name": case.name,
        "prior": prior,
        "trainings": trainings,
        "looks": looks,
        "effects": effects,
    }


def trained(me: Personalizer, at: datetime) -> dict[str, object]:
    """Train, and describe the generation."""
    training = me.train()
    file = max(Path(me.home).rglob("generation-*.safetensors"), default=None)
    return {
        "at": pair(at),
        "outcome": training.outcome,
        "generation": training.generation,
        "samples": training.samples,
        "sha256": None if file is None else hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def looked(me: Personalizer, at: datetime) -> dict[str, object]:
    """Predict and decide, as of now."""
    probability = me.predict()
    decision = me.decide()
    return {
        "at": pair(at),
        "probability_bits": bits(probability),
        "action": decision.action,
        "reasons": list(decision.reasons),
        "propensity": decision.propensity,
        "zone": decision.zone,
        "new_samples": me.status().new_samples,
    }


def document() -> str:
    """Return the text of personalizer.json."""
    cases = {case.name: case for case in make_loop.cases()}
    people = []
    for name, prior in PEOPLE.items():
        with tempfile.TemporaryDirectory() as home:
            people.append(lived(cases[name], prior, home))
    policy = {
        "remind_below": POLICY.remind_below,
        "suppress_above": POLICY.suppress_above,
        "explore": POLICY.explore,
        "seed": POLICY.seed,
    }
    content = {"about": "made by make_personalizer.py", "policy": policy, "people": people}
    return json.dumps(content, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
