"""Shapley values: the axioms that define them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inhabit.exceptions import ConfigError, ShapeError
from inhabit.explanation import shapley

rows = hnp.arrays(np.float32, 4, elements=st.floats(0, 1, width=32))


def curved(x):
    return float(1 / (1 + np.exp(-(2 * x[0] - x[1] * x[2] + 0.5 * x[1]))))  # x[3] has no effect


@given(rows, rows)
def test_axioms(x, average):
    """They add up; a feature without effect, or as average, gets nothing."""
    effects = shapley(curved, x, average)
    assert effects.sum() == pytest.approx(curved(x) - curved(average), abs=1e-12)
    assert effects[3] == 0
    assert np.abs(effects[x == average]).max(initial=0) < 1e-12


@given(rows, rows)
def test_mean_over_all_orders(x, average):
    """The definition: what a feature adds, averaged over all orders of arrival."""
    slow = np.zeros(4)
    for order in permutations(range(4)):
        row = average.copy()
        for feature in order:
            before = curved(row)
            row[feature] = x[feature]
            slow[feature] += (curved(row) - before) / 24
    assert shapley(curved, x, average) == pytest.approx(slow, abs=1e-12)


def test_bad_arguments():
    """Shapes must agree, and there is a limit to what can be exact."""
    with pytest.raises(ShapeError, match="average"):
        shapley(curved, np.zeros(4, np.float32), np.zeros(3, np.float32))
    with pytest.raises(ConfigError, match="at most 14"):
        shapley(curved, np.zeros(15, np.float32), np.zeros(15, np.float32))
