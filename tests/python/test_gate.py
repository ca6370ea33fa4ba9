"""The promotion gate, by simulation: people whose truth is known.

The gate is an anytime-valid test by betting (``rust/core/src/gate.rs``), so it may look after
every outcome. What is promised: among people without any pattern at most one in twenty ever sees a
personal network promoted that is no improvement in expectation; with a clear pattern nine in ten
have one by day 90.
"""

import numpy as np
import pytest

from inhabit._native import EXPERTS, ModelConfig, Prior, walk_forward

N_INPUTS, RATES = 3, [0, 1]  # overall rate, rate on days like this one, weekend
PERSONAL, CHAMPION = EXPERTS.index("personal"), EXPERTS.index("prior")  # until a promotion


def people(n, days, truth, seed):
    """Simulate people: inputs [n, days, 3], outcomes and true probabilities [n, days].

    ``truth(random, weekend)`` gives each person's probabilities by day.
    """
    random = np.random.default_rng(seed)
    weekend = (np.arange(days) + random.integers(7, size=(n, 1))) % 7 >= 5
    true = truth(random, weekend)
    outcome = (random.random((n, days)) < true).astype(np.int8)
    before = np.cumsum(outcome, axis=1) - outcome
    overall = (before + 1) / (np.arange(days) + 2)
    alike = np.zeros((n, days))
    for kind in (False, True):
        own = weekend == kind
        done = np.cumsum(own * outcome, axis=1) - own * outcome
        count = np.cumsum(own, axis=1) - own
        alike = np.where(own, (done + 3 * overall) / (count + 3), alike)
    inputs = np.stack([overall, alike, weekend], axis=2).astype(np.float32)
    return inputs, outcome, true


def walk(inputs, outcome, config, prior=None):
    days = len(outcome)
    slot, learn_at = np.zeros(days, np.uint8), np.arange(1, days + 1, dtype=np.uint32)
    return walk_forward(inputs, outcome, slot, learn_at, config, prior)


def expected_loss(said, true):
    return -(true * np.log(said) + (1 - true) * np.log(1 - said))


def is_false_promotion(walked, true):
    """Whether the first promotion, while it was served, was no improvement in expectation."""
    served = walked.promotions == 1
    if not served.any():
        return False
    new = expected_loss(walked.experts[served, PERSONAL], true[served]).mean()
    old = expected_loss(walked.experts[served, CHAMPION], true[served]).mean()
    return new >= old


def a_rate_each(random, weekend):
    return np.broadcast_to(random.uniform(0.03, 0.97, (len(weekend), 1)), weekend.shape)


def coin_flips(_random, weekend):
    return np.full(weekend.shape, 0.5)


def weekends_off(_random, weekend):
    return np.where(weekend, 0.1, 0.9)


WEEKLY = ModelConfig(N_INPUTS, RATES, retrain_every=7, retrain_window=120)


def test_noise_is_not_promoted():
    inputs, outcome, true = people(1000, 120, a_rate_each, seed=1)
    false = sum(
        is_false_promotion(walk(*columns, WEEKLY), truth)
        for *columns, truth in zip(inputs, outcome, true, strict=True)
    )
    assert false <= 50


def test_a_clear_pattern_is_promoted_by_day_90():
    inputs, outcome, true = people(100, 90, weekends_off, seed=2)
    walks = [walk(*columns, WEEKLY) for columns in zip(inputs, outcome, strict=True)]
    assert np.mean([walked.promotions[-1] > 0 for walked in walks]) >= 0.9
    assert not any(map(is_false_promotion, walks, true))


@pytest.mark.parametrize("teacher", [0, 1, 2])
def test_a_prior_that_knows_the_pattern_is_replaced_only_by_something_better(teacher):
    """A network that learnt of one person knows the pattern, but not how strong it is."""
    inputs, outcome, true = people(150, 90, weekends_off, seed=3)
    eager = ModelConfig(N_INPUTS, RATES, epochs=20)
    taught = walk(inputs[teacher], outcome[teacher], eager).model.tensors()["model.challenger"]
    prior = Prior(WEEKLY, network=taught)
    walks = [walk(*columns, WEEKLY, prior) for columns in zip(inputs, outcome, strict=True)]
    assert sum(map(is_false_promotion, walks, true)) <= 7


def test_nothing_is_promoted_before_there_is_a_challenger():
    inputs, outcome, _ = people(5, 90, weekends_off, seed=4)
    never = ModelConfig(N_INPUTS, RATES, retrain_every=91)
    for columns in zip(inputs, outcome, strict=True):
        walked = walk(*columns, never)
        assert (walked.promotions == 0).all()
        assert (walked.experts[:, PERSONAL] == walked.experts[:, CHAMPION]).all()


def test_a_generation_serves_until_the_next_promotion():
    inputs, outcome, _ = people(10, 90, weekends_off, seed=5)
    for columns in zip(inputs, outcome, strict=True):
        walked = walk(*columns, WEEKLY)
        assert (np.diff(walked.promotions.astype(int)) >= 0).all()
        assert walked.model.promotions == pytest.approx(walked.promotions[-1], abs=1)
        served = walked.experts[:, PERSONAL] != walked.experts[:, CHAMPION]
        assert (served == (walked.promotions > 0)).all()


def test_moments_that_share_an_outcome_do_not_count_as_evidence_many_times():
    """Coin flips, asked about five times a day: one outcome, five rows that mature together."""
    moments = 5
    inputs, outcome, _ = people(200, 120, coin_flips, seed=6)
    config = ModelConfig(N_INPUTS, RATES, retrain_every=7 * moments)
    day = np.repeat(np.arange(120), moments)
    slot = np.tile(np.arange(moments, dtype=np.uint8), 120)
    learn_at = ((day + 1) * moments).astype(np.uint32)
    promoted, regret = 0, []
    for x, y in zip(inputs, outcome, strict=True):
        walked = walk_forward(x[day], y[day], slot, learn_at, config)
        promoted += walked.promotions[-1] > 0
        regret.append(expected_loss(walked.probability, 0.5).mean() - np.log(2))
    assert promoted <= 10
    assert np.mean(regret) < 0.03
