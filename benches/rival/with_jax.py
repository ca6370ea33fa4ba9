"""JAX: the whole training is one compiled scan; many people are its vmap."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rival import BATCH, split


def single(flat):
    forward = jax.jit(_forward(flat))
    return {"jax jit": lambda x: float(forward(x))}


def many(flat):
    forward = jax.jit(_forward(flat))
    return {"jax jit": lambda X: np.asarray(forward(X))}


def training(task):
    run = jax.jit(_trainer(task))
    arguments = jax.device_put((*task[:3], _batches(task.order)))
    return {"jax scan": lambda: np.asarray(run(*arguments))}


def people(task):
    run = jax.jit(jax.vmap(_trainer(task), (None, 0, 0, None)))
    batches = _batches(task.order)
    return {"jax vmap of scan": (lambda: np.asarray(run(*task[:3], batches)), len(task.X))}


def _forward(flat):
    layers = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in split(flat)]

    def forward(X):
        h = X
        for w, b in layers[:2]:
            h = jax.nn.relu(h @ w + b)
        w, b = layers[2]
        return jax.nn.sigmoid(h @ w + b)[..., 0]

    return forward


def _batches(order):
    """Return rows and weights of whole batches, as scan needs them: the last is filled with 0."""
    n = order.shape[1]
    filled = -(-n // BATCH) * BATCH
    rows = np.zeros((len(order), filled), np.int32)
    rows[:, :n] = order
    weights = np.zeros((len(order), filled), np.float32)
    weights[:, :n] = 1.0
    return rows.reshape(-1, BATCH), weights.reshape(-1, BATCH)


def _loss(p, x, t, weight):
    h = x
    for index, (w, b) in enumerate(split(p)):
        h = h @ w.T + b
        h = jax.nn.relu(h) if index < 2 else h
    z = h[:, 0]
    return jnp.sum(weight * (jnp.logaddexp(0.0, z) - t * z)) / jnp.sum(weight)


def _trainer(task):
    def run(p, X, y, batches):
        def step(state, batch):
            p, m, v, t = state
            index, weight = batch
            g = jax.grad(_loss)(p, X[index], y[index], weight)
            t = t + 1.0
            if task.optimizer == "sgd":
                return (p - task.rate * g, m, v, t), None
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g * g
            m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
            return (p - task.rate * m_hat / (jnp.sqrt(v_hat) + 1e-8), m, v, t), None

        zero = jnp.zeros_like(p)
        return jax.lax.scan(step, (p, zero, zero, 0.0), batches)[0][0]

    return run
