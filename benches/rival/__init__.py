"""The rivals of `rivals.py`: the same network and training as others would write them.

One module per package, imported only if the package is there. A module defines those of four works
that its package can do. Each returns callables by name, the package's name first; parameters are
the flat float32 array of `Network.parameters`:

    single(flat)      one row -> probability
    many(flat)        rows -> probabilities
    training(task)    () -> trained parameters, or None where start or order are the package's own
    people(task)      the same for each of many people: a function, and how many people it trains

Names that end in
`ANOTHER_MODEL` do less than the network does, and are there for scale.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

RIVALS = {  # distribution: what its module here imports; the first gives that module its name
    "numpy": ("numpy",),
    "numba": ("numba",),
    "jax": ("jax",),
    "torch": ("torch",),
    "ai-edge-litert": ("ai_edge_litert", "tensorflow"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "scikit-learn": ("sklearn", "joblib"),
    "river": ("river",),
}
ANOTHER_MODEL = "(another model: linear)"
BATCH = 32
SHAPE = ((10, 16), (16, 8), (8, 1))


class Task(NamedTuple):
    """A training, or with a first axis of people in `X` and `y` one for each of them."""

    flat: np.ndarray  # [321], the start
    X: np.ndarray  # [..., rows, 10]
    y: np.ndarray  # [..., rows]
    order: np.ndarray  # [epochs, rows], the rows of each epoch in the order of their use
    optimizer: str  # "adam" or "sgd"
    rate: float


def available() -> dict[str, str]:
    """Return the module of each rival that can be imported, by distribution."""
    return {
        distribution: f"rival.with_{needed[0]}"
        for distribution, needed in RIVALS.items()
        if all(find_spec(name) for name in needed)
    }


def do(work: str, given: np.ndarray | Task) -> dict:
    """Return the callables of every available rival that can do `work`."""
    found = {}
    for name in available().values():
        function = getattr(import_module(name), work, None)
        if function is not None:
            found |= function(given)
    return found


def split(flat):
    """Return [(W [..., n_out, n_in], b [..., n_out])], views of parameters [..., 321]."""
    layers, at = [], 0
    for n_in, n_out in SHAPE:
        end = at + n_in * n_out
        layers.append(
            (flat[..., at:end].reshape(*flat.shape[:-1], n_out, n_in), flat[..., end : end + n_out])
        )
        at = end + n_out
    return layers
