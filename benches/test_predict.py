"""From SQLite to probability, with 100,000 events in the log.

Run `pytest benches/test_predict.py --benchmark-enable`; without the switch each runs once, as
a test, on a smaller log. `again` is the usual call: the question of the day has been looked at
before, what has happened in it is read from SQLite. `first` looks at it for the first time:
history, features, model. `opened` is a process that has just started.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from inhabit.events import Event
from inhabit.personalizer import Personalizer
from inhabit.scheduling import DeviceState
from inhabit.simulation import SimulatedPerson

EVENTS = 100_000
ZONE = timezone(timedelta(hours=1))


class Clock:
    now = datetime(2026, 1, 5, 18, 0, tzinfo=ZONE)

    def __call__(self):
        self.now += timedelta(milliseconds=1)  # time goes on between two calls
        return self.now


def open_home(home, clock):
    return Personalizer.open(
        "meditate", home, clock=clock, device=lambda: DeviceState(external_power=True)
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory, request):
    """A year of a simulated person who opens the app all the time, trained."""
    home = tmp_path_factory.mktemp("home")
    person = SimulatedPerson(7, date(2025, 1, 5), 365)
    random = np.random.default_rng(0)
    events = EVENTS if request.config.getoption("benchmark_enable") else 3_000
    rows = []
    for day in person.live():
        for part in range(len(day.moments)):
            rows += [event.row for event in day.live(part)]
        midnight = day.moments[0] - timedelta(hours=4)
        for hour in random.uniform(7, 23, events // 365):
            at = midnight + timedelta(hours=float(hour))
            rows.append(Event(kind="app_opened", occurred_at=at).row)
    with open_home(home, Clock()) as me:
        me.record_all(rows)
        me.train()
    return home


def test_again(benchmark, home):
    """The question of the day is known; what has happened in it is read."""
    with open_home(home, Clock()) as me:
        me.predict()
        assert 0 < benchmark(me.predict) < 1


def test_first(benchmark, home):
    """A question that nobody has looked at before."""
    with open_home(home, Clock()) as me:
        me.predict()

        def forget_the_question():
            me._served()._answered = None  # noqa: SLF001

        assert 0 < benchmark.pedantic(me.predict, setup=forget_the_question, rounds=200) < 1


def test_after_an_event(benchmark, home):
    """The app has just been opened."""
    with open_home(home, Clock()) as me:
        me.predict()

        def open_the_app():
            me.record("app_opened", subject="")

        assert 0 < benchmark.pedantic(me.predict, setup=open_the_app, rounds=200) < 1


def test_opened(benchmark, home):
    """A process that has just started: open the log, load and verify the generation, predict."""

    def predict():
        with open_home(home, Clock()) as me:
            return me.predict()

    assert 0 < benchmark(predict) < 1
