"""Exact reasons: Shapley values of one prediction."""

from __future__ import annotations

from math import factorial
from typing import TYPE_CHECKING, Final

import numpy as np

from inhabit.exceptions import ConfigError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["shapley"]

_MOST: Final = 14


def shapley(
    predict: Callable[[NDArray[np.float32]], float],
    x: NDArray[np.float32],
    average: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return how much each feature moves a prediction away from that of average features.

    ``phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! * (v(S + i) - v(S))``, where ``v(S)``
    is the prediction with the features in ``S`` as they are and the others average. The values sum
    to ``predict(x) - predict(average)``. It takes ``2**n`` predictions.

    Parameters
    ----------
    predict : callable
        From features, shape (n,), to a probability.
    x : ndarray of float32, shape (n,)
        The features to explain; at most 14.
    average : ndarray of float32, shape (n,)
        What a feature is replaced with when it is left out.

    Returns
    -------
    ndarray of float64, shape (n,)

    References
    ----------
    Shapley: A value for n-person games (1953).

    Examples
    --------
    >>> shapley(lambda x: float(x[0] * x[1]), np.ones(2, np.float32), np.zeros(2, np.float32))
    array([0.5, 0.5])
    """
    n = len(x)
    if x.shape != average.shape:
        raise ShapeError(f"average: expected shape {x.shape}, got {average.shape}")
    if n > _MOST:
        raise ConfigError(f"x: expected at most {_MOST} features to explain exactly, got {n}")
    coalition = np.arange(2**n)
    inside = (coalition[:, None] >> np.arange(n)) & 1 == 1
    value = np.array([predict(row) for row in np.where(inside, x, average)])
    size = inside.sum(axis=1)
    weight = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    effects = np.empty(n)
    for feature in range(n):
        without = coalition[~inside[:, feature]]
        gain = value[without | 1 << feature] - value[without]
        effects[feature] = weight[size[without]] @ gain
    return effects
