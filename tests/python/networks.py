"""Random networks and data for the tests of the core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from inhabit._native import Network


class Problem(NamedTuple):
    """A network and samples for it, all float32."""

    network: Network
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    @property
    def shape(self):
        """What the reference needs to know of the network."""
        return self.network.layers, self.network.hidden, self.network.loss

    @property
    def y2(self):
        """Targets of shape (n, n_outputs)."""
        return self.y.reshape(len(self.X), -1).astype(np.float64)


@st.composite
def problems(draw, *, hidden=None, default_shape=None):
    """Networks of random shape, activation and loss, with random samples and weights."""
    if default_shape is None:
        default_shape = draw(st.booleans())
    layers = (
        (10, 16, 8, 1)
        if default_shape
        else tuple(draw(st.lists(st.integers(1, 9), min_size=2, max_size=5)))
    )
    if hidden is None:
        hidden = draw(st.sampled_from(["relu", "tanh", "sigmoid", "identity"]))
    loss = draw(st.sampled_from(["bce_with_logits", "mse"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    network = Network(layers, hidden, seed=int(rng.integers(2**63)), loss=loss)
    network.parameters = network.parameters + rng.normal(0, 0.1, len(network.parameters))
    rows = draw(st.integers(1, 70))
    X = rng.uniform(-1, 1, (rows, layers[0])).astype(np.float32)
    y = rng.integers(0, 2, (rows, layers[-1])).astype(np.float32)
    weight = rng.uniform(0.1, 2, rows).astype(np.float32)
    return Problem(network, X, y[:, 0] if layers[-1] == 1 and draw(st.booleans()) else y, weight)
