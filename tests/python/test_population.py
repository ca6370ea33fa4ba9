"""Walking through many people, and scoring them."""

import numpy as np
import pytest

from inhabit.evaluation import replay
from inhabit.exceptions import ConfigError
from inhabit.features import DEFAULT_FEATURES, times_today
from inhabit.moments import Schedule
from inhabit.population import score_person, walk, walk_many
from walkers import TARGET, columns, person


def test_many_people_give_the_same_bits_as_one_after_the_other():
    people = [person(seed) for seed in range(12)]
    seen = []
    many = walk_many(people, workers=4, progress=lambda done, total: seen.append((done, total)))
    assert len(many) == len(people)
    for own, walked in zip(people, many, strict=True):
        alone = walk(own)
        assert np.array_equal(alone.probability, walked.probability)
        assert np.array_equal(alone.experts, walked.experts)
    assert seen[-1] == (len(people), len(people))
    assert walk_many([]) == []


def test_a_person_is_a_row_for_each_subject():
    own = columns(3)
    rows = score_person("ann", own, TARGET, Schedule())
    summary = replay({"ann": own}, TARGET, Schedule()).summary()
    assert [(row.user, row.subject) for row in rows] == [("ann", "walk")]
    assert rows[0].moments == summary.rows
    assert rows[0].scored == summary.scored
    assert rows[0].positives == pytest.approx(summary.scored * summary.positive_rate)
    assert rows[0].log_loss == summary.model.log_loss
    assert rows[0].base_rate_log_loss == summary.base_rate.log_loss
    assert rows[0].brier == summary.model.brier


def test_people_with_other_features_are_refused():
    more = person(1, feature_set=DEFAULT_FEATURES + times_today("coffee", 2))
    with pytest.raises(ConfigError, match="the same features"):
        walk_many([person(0), more])
