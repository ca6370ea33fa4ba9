"""The mathematics of the core once more, in float64 numpy, as the textbooks have it.

The oracle of the tests, and documentation that runs. Nothing here is fast, and nothing is shared
with the implementation.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

ACTIVATIONS = {
    "identity": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0.0), lambda h: (h > 0).astype(h.dtype)),
    "tanh": (np.tanh, lambda h: 1.0 - h * h),
    "sigmoid": (lambda z: 1.0 / (1.0 + np.exp(-z)), lambda h: h * (1.0 - h)),
}


def unflatten(parameters, layers):
    """Split flat parameters into (W [n_out, n_in], b [n_out]) per layer."""
    result, at = [], 0
    for n_in, n_out in pairwise(layers):
        weights = parameters[at : at + n_out * n_in].reshape(n_out, n_in)
        at += n_out * n_in
        result.append((weights, parameters[at : at + n_out]))
        at += n_out
    assert at == len(parameters)
    return result


def forward(parameters, layers, hidden, X):
    """Return the outputs of all layers, the input first, the last without its link."""
    outputs = [X]
    split = unflatten(parameters, layers)
    for index, (weights, biases) in enumerate(split):
        z = outputs[-1] @ weights.T + biases
        outputs.append(z if index == len(split) - 1 else ACTIVATIONS[hidden][0](z))
    return outputs


def largest_partial_sum(parameters, layers, hidden, X):
    """Return, for each row, the size of the largest sum on the way, bias first."""
    largest = np.zeros(len(X))
    outputs = forward(parameters, layers, hidden, X)
    for inputs, (weights, biases) in zip(outputs, unflatten(parameters, layers), strict=False):
        terms = inputs[:, None, :] * weights
        sums = biases[:, None] + np.cumsum(terms, axis=2)
        largest = np.maximum(largest, np.abs(sums).max(axis=(1, 2)))
    return largest


def predict(parameters, layers, hidden, loss, X):
    """Return predictions, shape (n, n_outputs)."""
    z = forward(parameters, layers, hidden, X)[-1]
    return z if loss == "mse" else 1.0 / (1.0 + np.exp(-z))


def mean_loss(parameters, layers, hidden, loss, X, y, weight):
    """Return the weighted mean loss."""
    z = forward(parameters, layers, hidden, X)[-1]
    each = (z - y) ** 2 if loss == "mse" else np.logaddexp(0.0, z) - y * z
    return np.sum(weight[:, None] * each) / (np.sum(weight) * y.shape[1])


def gradient(parameters, layers, hidden, loss, X, y, weight):
    """Return the gradient of `mean_loss`, flat, by backpropagation."""
    outputs = forward(parameters, layers, hidden, X)
    z = outputs[-1]
    prediction = z if loss == "mse" else 1.0 / (1.0 + np.exp(-z))
    slope = 2.0 if loss == "mse" else 1.0
    delta = slope * (prediction - y) * weight[:, None] / (np.sum(weight) * y.shape[1])
    parts = []
    split = unflatten(parameters, layers)
    for index in reversed(range(len(split))):
        parts[:0] = [(delta.T @ outputs[index]).ravel(), delta.sum(axis=0)]
        if index > 0:
            delta = (delta @ split[index][0]) * ACTIVATIONS[hidden][1](outputs[index])
    return np.concatenate(parts)


def train(parameters, layers, hidden, loss, X, y, weight, config):
    """Train without shuffling; yield the parameters after each step."""
    p = parameters.astype(np.float64)
    anchor = np.zeros_like(p) if config.anchor is None else config.anchor.astype(np.float64)
    velocity, m, v, t = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p), 0
    for _ in range(config.epochs):
        for start in range(0, len(X), config.batch_size):
            rows = slice(start, start + config.batch_size)
            g = gradient(p, layers, hidden, loss, X[rows], y[rows], weight[rows])
            g = g + config.l2 * (p - anchor)
            t += 1
            if config.optimizer == "sgd":
                velocity = config.momentum * velocity + g
                p = p - config.learning_rate * velocity
            else:
                m = config.beta1 * m + (1 - config.beta1) * g
                v = config.beta2 * v + (1 - config.beta2) * g * g
                m_hat, v_hat = m / (1 - config.beta1**t), v / (1 - config.beta2**t)
                p = p - config.learning_rate * m_hat / (np.sqrt(v_hat) + config.epsilon)
            yield p.copy()
