"""Moments, labels and features against the oracle, and the promises of `inhabit.features`."""

import numpy as np
import reference_features as oracle
from histories import columns, histories, schedules, targets
from hypothesis import given

from inhabit.moments import Moments
from inhabit.samples import samples


def as_tuples(moments: Moments):
    return list(
        zip(
            *(getattr(moments, name).tolist() for name in oracle.Moment.__annotations__),
            strict=True,
        )
    )


def own_rows(rows, target):
    return [row for row in rows if row.subject in (target.subject, "")]


@given(histories, targets, schedules)
def test_samples_are_those_of_the_oracle(rows, target, schedule):
    table = samples(columns(rows), target, schedule)
    if not own_rows(rows, target):
        assert len(table) == 0
        return
    grid = oracle.all_moments(rows, schedule, target)
    expected = oracle.replayed_moments(rows, schedule, target)
    assert as_tuples(table.moments) == [tuple(vars(m).values()) for m in expected]
    assert table.label.tolist() == [oracle.label(rows, target, m) for m in expected]
    features = [oracle.default_features(rows, target, grid, m) for m in expected]
    np.testing.assert_array_equal(table.features, np.reshape(features, (-1, 10)).astype(np.float32))
