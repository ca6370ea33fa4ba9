"""Time of the Python surface: ``pytest benches/test_native.py --benchmark-enable``.

In an ordinary test run each case runs once, so that the benchmarks keep working.
"""

from __future__ import annotations

import numpy as np
import pytest

from inhabit._native import (
    ModelConfig,
    Network,
    TrainingConfig,
    ensemble,
    train,
    train_many,
    walk_forward_many,
)

rng = np.random.default_rng(0)
X = rng.random((365, 10), np.float32)
y = (rng.random(365) < X[:, 0]).astype(np.float32)
ROWS = rng.random((100_000, 10), np.float32)


@pytest.mark.parametrize("kind", ["array", "list", "tuple"])
def test_predict(benchmark, kind):
    x = {"array": X[0].copy(), "list": X[0].tolist(), "tuple": tuple(X[0].tolist())}[kind]
    assert 0 < benchmark(Network(seed=1).predict, x) < 1


def test_predict_many(benchmark):
    network = Network(seed=1)
    assert benchmark(network.predict_many, ROWS).shape == (100_000,)


def test_predict_many_into_out(benchmark):
    out = np.empty(len(ROWS), np.float32)
    assert benchmark(Network(seed=1).predict_many, ROWS, out=out) is out


def test_gradient(benchmark):
    assert benchmark(Network(seed=1).gradient, X, y)[0] > 0


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_train(benchmark, optimizer):
    network, config = Network(seed=1), TrainingConfig(optimizer)
    start = network.parameters

    def run():
        network.parameters = start
        return train(network, X, y, config)

    assert benchmark(run).status == "finished"


def test_train_many(benchmark):
    people = [(X, y)] * 64
    assert benchmark(train_many, Network(seed=1), people).shape == (64, 321)


def test_walk_forward_many(benchmark):
    label, slot = y.astype(np.int8), np.zeros(len(X), np.uint8)
    people = [(X, label, slot, np.arange(1, len(X) + 1, dtype=np.uint32))] * 16
    walks = benchmark(walk_forward_many, people, ModelConfig(retrain_every=7))
    assert len(walks) == 16


def test_ensemble(benchmark):
    assert len(benchmark(ensemble, Network(seed=1), X, y, members=8)) == 8


def test_explain(benchmark):
    reasons = benchmark(Network(seed=1).explain, X[0], X[:100])
    assert reasons.shape == (10,)
