"""The speed table keeps working: rivals agree with this package, bars are judged, records read."""

from __future__ import annotations

import numpy as np
import pytest

import rival
import speed_costs
from inhabit._native import Network, TrainingConfig, train
from speed_report import Case, Report, Table

rng = np.random.default_rng(0)
X = rng.random((40, 10), np.float32)
y = (X[:, 0] > 0.5).astype(np.float32)
ORDER = np.tile(np.arange(40, dtype=np.uint32), (3, 1))


@pytest.fixture
def only_numpy(monkeypatch):
    """Return the start; of the rivals, only numpy is quick to import."""
    monkeypatch.setattr(rival, "RIVALS", {"numpy": ("numpy",)})
    return Network(seed=1)


def test_predictions_agree(only_numpy):
    for name, predict in rival.do("single", only_numpy.parameters).items():
        assert predict(X[0]) == pytest.approx(only_numpy.predict(X[0]), abs=1e-6), name
    for name, predict in rival.do("many", only_numpy.parameters).items():
        expected = only_numpy.predict_many(X)
        np.testing.assert_allclose(predict(X), expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_trainings_agree(only_numpy, optimizer):
    task = rival.Task(only_numpy.parameters, X, y, ORDER, optimizer, 1e-3)
    config = TrainingConfig(optimizer, 1e-3, epochs=len(ORDER), shuffle=False)
    expected = train(only_numpy, X, y, config).parameters
    for name, run in rival.do("training", task).items():
        np.testing.assert_allclose(run(), expected, atol=1e-5, err_msg=name)


def test_a_rival_without_its_package_is_left_out(monkeypatch):
    monkeypatch.setattr(rival, "RIVALS", {"nobody": ("no_such_package",)})
    assert rival.available() == {}
    assert rival.do("single", np.zeros(321, np.float32)) == {}


def test_bars_are_judged():
    report = Report()
    times = {"inhabit": 1e-6, "limit: C": 0.9e-6, "numpy": 30e-6, "other": 2e-6}
    report.show("Work", "us", times, {"limit": 1 / 1.25, "numpy": 40})
    inhabit, limit, numpy, other = report.lines[-4:]
    assert inhabit == "| inhabit | 1 | 1.00 |  |"
    assert limit == "| limit: C | 0.9 | 0.90 | first row at most 1.25 x this: 1.11 x, holds |"
    assert numpy == "| numpy | 30 | 30.00 | at least 40 x, MISSED |"
    assert other == "| other | 2 | 2.00 |  |"


def test_statements_are_timed():
    report = Report()
    cases = [Case("inhabit", lambda: None), Case("slower", lambda: sum(range(1000)))]
    report.run(Table("Work", "ns", cases, {"slower": 1.0}), rounds=1)
    assert report.lines[-1].endswith("holds |")


def test_records_of_instructions_are_read():
    report = Report()
    speed_costs.instructions(report)
    assert any(line.startswith("| iOS library") for line in report.lines)
