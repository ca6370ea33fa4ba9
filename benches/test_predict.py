"""From SQLite to probability, with 100,000 events of ten years in the log.

Run `pytest benches/test_predict.py --benchmark-enable`; without the switch each runs once, as
a test, on a smaller log. `python benches/live.py` prints the same steps for logs of several sizes.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from live import PER_DAY, Clock, make_home, measure, open_home


@pytest.fixture(scope="module")
def home(tmp_path_factory, request):
    """Somebody who opens the app all the time, trained; and the evening of the last day."""
    home = tmp_path_factory.mktemp("home")
    events = 100_000 if request.config.getoption("benchmark_enable") else 3_000
    return home, make_home(home, events, events // PER_DAY).now


@pytest.fixture
def me(home):
    home, now = home
    with open_home(home, Clock(now)) as someone:
        someone.predict()
        yield someone


def test_the_open_question(benchmark, me):
    """It has been looked at before; what has happened in its window is read."""
    assert 0 < benchmark(me.predict) < 1


def test_a_new_question(benchmark, home):
    """A day later: learn what came of the last question, look at the new one for the first time."""
    home, now = home
    clock = Clock(now)
    with open_home(home, clock) as me:
        me.predict()

        def wait():
            clock.now += timedelta(days=1)

        assert 0 < benchmark.pedantic(me.predict, setup=wait, rounds=200) < 1


def test_after_an_event(benchmark, me):
    """The app has just been opened."""

    def open_the_app():
        me.record("app_opened", subject="")

    assert 0 < benchmark.pedantic(me.predict, setup=open_the_app, rounds=200) < 1


def test_a_new_process(benchmark, home):
    """Open the log, load and verify the generation, predict."""
    home, now = home

    def predict():
        with open_home(home, Clock(now)) as me:
            return me.predict()

    assert 0 < benchmark(predict) < 1


def test_what_the_table_shows(tmp_path):
    """Every step is timed, on a small log."""
    times = measure([(tmp_path, make_home(tmp_path, 600, 20))], rounds=2)
    assert {"a new process", "a new question", "the open question", "after an event"} <= set(times)
    assert all(seconds > 0 for (seconds,) in times.values())
