"""What the quality benchmark says about figures that are known."""

import numpy as np

import quality_report as report
from quality_metrics import Rows

NAN = float("nan")


def measures(loss, ece=0.01, early=0.5):
    own = {"log_loss": loss, "ece": ece, "log_loss[7-20]": early}
    return own | {"vs_mix_all_high": -0.001 if loss < 0.5 else 0.01}


def results(inhabit, *, cold=0.5, foreign=0.5, early=0.5, ece=0.01):
    """Two tasks in which the rivals' losses are all 0.5."""
    one = {name: measures(0.5) for name in ("base", "mix_local", "mix_all")}
    one |= {"no_networks": measures(0.6), "inhabit_cold": measures(cold)}
    one |= {"inhabit_foreign": measures(foreign), "inhabit": measures(inhabit, ece, early)}
    return {"a": one, "b": one}


def holds(found, n_rows=2000):
    rows = Rows(np.zeros(n_rows, int), np.zeros(n_rows, np.int8), np.arange(n_rows))
    return [held for _, held, _ in report.verdicts(found, dict.fromkeys(found, rows))]


def test_every_bar_can_hold_and_can_fail():
    assert holds(results(0.49)) == [True] * 6
    assert holds(results(0.49, cold=0.504))[0] is False
    assert holds(results(0.5))[1] is False  # not clearly lower anywhere
    assert holds(results(0.49, early=0.51))[2] is False
    assert holds(results(0.49, foreign=0.501))[3] is False
    assert holds(results(0.49, ece=0.031))[4] is False
    assert holds(results(0.61))[5] is False


def test_small_tasks_are_not_asked_for_calibration():
    assert len(holds(results(0.49, ece=0.5), n_rows=900)) == 5


def test_tasks_without_early_rows_do_not_count():
    assert holds(results(0.49, early=NAN) | {"c": results(0.49)["a"]})[2] is True


def test_markers_keep_the_rest_of_the_file(tmp_path):
    path = tmp_path / "README.md"
    report.write_between_markers(path, "quality", "one")
    path.write_text(path.read_text() + "\nafter\n")
    report.write_between_markers(path, "ablation", "two")
    report.write_between_markers(path, "quality", "three")
    text = path.read_text()
    assert text.startswith("# Benchmarks\n")
    assert "<!-- quality: begin -->\nthree\n<!-- quality: end -->\n\nafter\n" in text
    assert "<!-- ablation: begin -->\ntwo\n<!-- ablation: end -->" in text
    assert "one" not in text


def test_the_lowest_is_bold():
    shown = report.by_predictor(results(0.49), "log_loss", ["base", "inhabit"])
    assert "| a | .500 | **.490** |" in shown


def test_figures_are_short():
    assert report.figure(0.5) == ".500"
    assert report.figure(1.25) == "1.250"
    assert report.figure(NAN) == "-"
    assert report.signed(-0.0123) == "-.012"


def test_nan_becomes_null():
    assert report.as_json({"a": {"b": NAN, "c": 1}}) == {"a": {"b": None, "c": 1}}
