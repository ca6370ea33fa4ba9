"""Gradients against finite differences and against automatic differentiation, both in float64."""

from __future__ import annotations

from itertools import pairwise

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from inhabit._native import Network
from inhabit.exceptions import ConfigError, NonFiniteError
from networks import problems

# Single precision, sums of up to a few hundred terms of magnitude about 1.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-6}


def _autograd_loss(parameters, layers, hidden, loss, X, y, weight):
    """`reference.mean_loss` in the words of HIPS autograd."""
    activations = {
        "identity": lambda z: z,
        "relu": lambda z: anp.maximum(z, 0.0),
        "tanh": anp.tanh,
        "sigmoid": lambda z: 1.0 / (1.0 + anp.exp(-z)),
    }
    h, at = X, 0
    for index, (n_in, n_out) in enumerate(pairwise(layers)):
        weights = parameters[at : at + n_out * n_in].reshape(n_out, n_in)
        biases = parameters[at + n_out * n_in : at + n_out * (n_in + 1)]
        at += n_out * (n_in + 1)
        z = anp.dot(h, weights.T) + biases
        h = activations[hidden](z) if index < len(layers) - 2 else z
    each = (h - y) ** 2 if loss == "mse" else anp.logaddexp(0.0, h) - y * h
    return anp.sum(weight[:, None] * each) / (anp.sum(weight) * y.shape[1])


@given(problems(), st.booleans())
def test_equals_automatic_differentiation(problem, weighted):
    weight = problem.weight if weighted else np.ones(len(problem.X), np.float32)
    loss, gradient = problem.network.gradient(
        problem.X, problem.y, sample_weight=weight if weighted else None
    )
    arguments = (
        *problem.shape,
        problem.X.astype(np.float64),
        problem.y2,
        weight.astype(np.float64),
    )
    parameters = problem.network.parameters.astype(np.float64)
    exact = _autograd_loss(parameters, *arguments)
    # Predictions that are off by d move a squared error e by 2 d sqrt(e): much, beside a small e.
    np.testing.assert_allclose(loss, exact, rtol=1e-5, atol=2e-6 * np.sqrt(exact))
    expected = autograd.grad(_autograd_loss)(parameters, *arguments)
    np.testing.assert_allclose(gradient, expected, **TOLERANCE)


@given(problems(hidden="tanh") | problems(hidden="sigmoid"))
def test_equals_finite_differences(problem):
    _, gradient = problem.network.gradient(problem.X, problem.y, problem.weight)
    parameters = problem.network.parameters.astype(np.float64)

    def loss(shifted):
        return reference.mean_loss(
            shifted,
            *problem.shape,
            problem.X.astype(np.float64),
            problem.y2,
            problem.weight.astype(np.float64),
        )

    step = 1e-6
    for index in range(0, len(parameters), max(1, len(parameters) // 40)):
        shift = np.zeros_like(parameters)
        shift[index] = step
        difference = (loss(parameters + shift) - loss(parameters - shift)) / (2 * step)
        np.testing.assert_allclose(gradient[index], difference, rtol=5e-4, atol=3e-6)


def test_is_not_zero():
    network = Network(seed=3)
    rng = np.random.default_rng(3)
    loss, gradient = network.gradient(rng.random((50, 10)), rng.integers(0, 2, 50))
    assert loss > 0.1
    assert np.count_nonzero(gradient) > 250


@given(problems())
def test_weight_two_is_the_row_twice(problem):
    weight = np.ones(len(problem.X), np.float32)
    weight[0] = 2
    weighted = problem.network.gradient(problem.X, problem.y, weight)
    repeated = problem.network.gradient(
        np.concatenate([problem.X, problem.X[:1]]), np.concatenate([problem.y, problem.y[:1]])
    )
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=1e-6)
    np.testing.assert_allclose(weighted[1], repeated[1], **TOLERANCE)


@given(problems())
def test_does_not_touch_its_arguments(problem):
    before = [a.copy() for a in (problem.X, problem.y, problem.weight, problem.network.parameters)]
    problem.network.gradient(problem.X, problem.y, problem.weight)
    after = (problem.X, problem.y, problem.weight, problem.network.parameters)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_refuses_what_it_cannot_compute():
    """Finite numbers that are too large give an error, never a NaN."""
    network = Network(seed=3)
    chain = Network((1, 1, 1), "identity")
    chain.parameters = [1e-30, 0, 1e10, 0]
    with pytest.raises(NonFiniteError, match="gradient: expected finite"):
        chain.gradient([[1e30]], [0])
    with pytest.raises(NonFiniteError, match="a sum overflows in row 1"):
        network.gradient(np.array([[1] * 10, [3e38] * 10]), [0, 1])
    with pytest.raises(NonFiniteError, match="a sum overflows in row 0"):
        Network((1, 1), loss="mse").gradient([[1.0]], [2e19])
    with pytest.raises(ConfigError, match="sample_weight: expected weights from 0 to 1e28"):
        network.gradient(np.ones((2, 10)), [0, 1], [1, 1e38])
