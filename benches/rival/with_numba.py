"""numba: loops by hand, compiled whole."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from rival import split


def single(flat):
    (w1, b1), (w2, b2), (w3, b3) = [(w.copy(), b.copy()) for w, b in split(flat)]

    @njit(fastmath=True)
    def predict(x):
        h1, h2 = np.empty(16, np.float32), np.empty(8, np.float32)
        for k in range(16):
            s = b1[k]
            for i in range(10):
                s += w1[k, i] * x[i]
            h1[k] = max(s, np.float32(0))
        for k in range(8):
            s = b2[k]
            for i in range(16):
                s += w2[k, i] * h1[i]
            h2[k] = max(s, np.float32(0))
        z = b3[0]
        for i in range(8):
            z += w3[0, i] * h2[i]
        return 1.0 / (1.0 + math.exp(-z))

    return {"numba constant weights": predict}


def training(task):
    adam = task.optimizer == "adam"
    return {"numba by hand": lambda: _train(task.flat.copy(), *task[1:4], adam, task.rate)}


def people(task):
    adam = task.optimizer == "adam"
    return {"numba prange": (lambda: _everybody(*task[:4], adam, task.rate), len(task.X))}


@njit(fastmath=True, nogil=True)
def _train(p, X, y, order, adam, rate):
    g, m, v = np.zeros(321, np.float32), np.zeros(321, np.float32), np.zeros(321, np.float32)
    h1, h2 = np.empty(16, np.float32), np.empty(8, np.float32)
    d1, d2 = np.empty(16, np.float32), np.empty(8, np.float32)
    beta1, beta2 = 1.0, 1.0
    n = X.shape[0]
    for e in range(order.shape[0]):
        for start in range(0, n, 32):
            end = min(start + 32, n)
            g[:] = 0.0
            for at in range(start, end):
                row = order[e, at]
                for k in range(16):
                    s = p[160 + k]
                    for i in range(10):
                        s += p[k * 10 + i] * X[row, i]
                    h1[k] = max(s, np.float32(0))
                z = p[320]
                for k in range(8):
                    s = p[304 + k]
                    for i in range(16):
                        s += p[176 + k * 16 + i] * h1[i]
                    h2[k] = max(s, np.float32(0))
                    z += p[312 + k] * h2[k]
                d = np.float32((1.0 / (1.0 + math.exp(-z)) - y[row]) / (end - start))
                g[320] += d
                d1[:] = 0.0
                for k in range(8):
                    g[312 + k] += d * h2[k]
                    d2[k] = d * p[312 + k] if h2[k] > 0 else np.float32(0)
                    g[304 + k] += d2[k]
                    for i in range(16):
                        g[176 + k * 16 + i] += d2[k] * h1[i]
                        d1[i] += d2[k] * p[176 + k * 16 + i]
                for k in range(16):
                    if h1[k] > 0:
                        g[160 + k] += d1[k]
                        for i in range(10):
                            g[k * 10 + i] += d1[k] * X[row, i]
            if adam:
                beta1 *= 0.9
                beta2 *= 0.999
                step = np.float32(rate / (1 - beta1))
                scale = np.float32(1 / math.sqrt(1 - beta2))
                for i in range(321):
                    m[i] = np.float32(0.9) * m[i] + np.float32(0.1) * g[i]
                    v[i] = np.float32(0.999) * v[i] + np.float32(0.001) * g[i] * g[i]
                    p[i] -= step * m[i] / (np.sqrt(v[i]) * scale + np.float32(1e-8))
            else:
                for i in range(321):
                    p[i] -= np.float32(rate) * g[i]
    return p


@njit(fastmath=True, parallel=True)
def _everybody(start, X, y, order, adam, rate):
    result = np.empty((X.shape[0], 321), np.float32)
    for person in prange(X.shape[0]):
        result[person] = _train(start.copy(), X[person], y[person], order, adam, rate)
    return result
