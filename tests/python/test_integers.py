"""Whole numbers at the door to Rust: what is out of range or no whole number is named."""

from __future__ import annotations

import numpy as np
import pytest

from inhabit._native import (
    Model,
    ModelConfig,
    Network,
    TrainingConfig,
    ensemble,
    train_many,
    walk_forward_many,
)
from inhabit.exceptions import ConfigError

X, y = np.zeros((3, 10), np.float32), [0, 1, 0]

# Where it goes in, what it is called, and its range.
ARGUMENTS = [
    (lambda value: Network((10, value, 1)), "layers", 1, 4096),
    (lambda value: Network(seed=value), "seed", 0, 2**64 - 1),
    (lambda value: TrainingConfig(epochs=value), "epochs", 1, 2**32 - 1),
    (lambda value: TrainingConfig(batch_size=value), "batch_size", 1, 2**32 - 1),
    (lambda value: TrainingConfig(patience=value), "patience", 1, 2**32 - 1),
    (lambda value: TrainingConfig(seed=value), "seed", 0, 2**64 - 1),
    (lambda value: TrainingConfig().replace(seed=value), "seed", 0, 2**64 - 1),
    (lambda value: ModelConfig(value, []), "n_inputs", 1, 53),
    (lambda value: ModelConfig(53, [value]), "rates", 0, 52),
    (lambda value: ModelConfig(hidden_layers=[value]), "hidden_layers", 1, 4096),
    (lambda value: ModelConfig(epochs=value), "epochs", 1, 2**32 - 1),
    (lambda value: ModelConfig(batch_size=value), "batch_size", 1, 2**32 - 1),
    (lambda value: ModelConfig(retrain_every=value), "retrain_every", 1, 2**32 - 1),
    (lambda value: ModelConfig(retrain_window=value), "retrain_window", 1, 2**32 - 1),
    (lambda value: ModelConfig(seed=value), "seed", 0, 2**64 - 1),
    (lambda value: Model().predict(X[0], value), "slot", 0, 23),
    (lambda value: Model().experts(X[0], value), "slot", 0, 23),
    (lambda value: Model().learn(X[0], value, 1), "slot", 0, 23),
    (lambda value: Model().learn(X[0], 0, value), "label", 0, 1),
    (lambda value: Model().learn_together(X, [0, value, 0], y), "slot", 0, 23),
    (lambda value: Model().learn_together(X, [0, 0, 0], [0, value, 0]), "label", 0, 1),
    (lambda value: ensemble(Network(), X, y, members=value), "members", 1, 10_000),
    (lambda value: train_many(Network(), [(X, y)], workers=value), "workers", 1, 1024),
    (lambda value: walk_forward_many([], workers=value), "workers", 1, 1024),
]


@pytest.mark.parametrize(("call", "name", "least", "most"), ARGUMENTS)
def test_what_is_out_of_range_is_named(call, name, least, most):
    for value in (least - 1, most + 1, -(10**40), 10**40, np.int64(-1)):
        with pytest.raises(ConfigError) as caught:
            call(value)
        expected = f"{name}: expected a whole number from {least} to {most}, got {value}"
        assert str(caught.value) == expected
    with pytest.raises(ConfigError, match=f"{name}: .* got a huge number"):
        call(10**5000)


@pytest.mark.parametrize(("call", "name", "least", "most"), ARGUMENTS)
@pytest.mark.parametrize("value", [2.5, "3", [1]])
def test_what_is_no_whole_number_is_named(call, name, least, most, value):
    with pytest.raises(TypeError) as caught:
        call(value)
    got = type(value).__name__
    assert str(caught.value) == f"{name}: expected a whole number, got {got}"


@pytest.mark.parametrize(("call", "name", "least", "most"), ARGUMENTS)
def test_the_least_is_welcome_in_any_type(call, name, least, most):
    if name != "hidden_layers":
        call(np.uint8(least))
    if least == 1:
        call(True)
