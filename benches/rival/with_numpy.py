"""numpy by hand: buffers that are used again, one flat array for the optimiser."""

from __future__ import annotations

import math

import numpy as np

from rival import BATCH, split

CHUNK = 2000  # rows whose activations stay in the cache


def single(flat):
    (w1, b1), (w2, b2), (w3, b3) = split(flat.copy())
    h1, h2, z = np.empty(16, np.float32), np.empty(8, np.float32), np.empty(1, np.float32)
    dot, add, maximum, exp, bias = np.dot, np.add, np.maximum, math.exp, float(b3[0])

    def predict(x):
        dot(w1, x, out=h1)
        add(h1, b1, out=h1)
        maximum(h1, 0.0, out=h1)
        dot(w2, h1, out=h2)
        add(h2, b2, out=h2)
        maximum(h2, 0.0, out=h2)
        dot(w3, h2, out=z)
        return 1.0 / (1.0 + exp(-(z.item() + bias)))

    return {"numpy tuned": predict}


def many(flat):
    layers = [(np.ascontiguousarray(w.T), b) for w, b in split(flat.copy())]
    buffers = [np.empty((CHUNK, n), np.float32) for n in (16, 8, 1)]

    def predict(X):
        out = np.empty(len(X), np.float32)
        for start in range(0, len(X), CHUNK):
            h = X[start : start + CHUNK]
            n = len(h)
            for index, ((w, b), buffer) in enumerate(zip(layers, buffers, strict=True)):
                h = np.dot(h, w, out=buffer[:n])
                h += b
                if index < 2:
                    np.maximum(h, 0.0, out=h)
            np.negative(h, out=h)
            np.exp(h, out=h)
            h += 1.0
            np.divide(1.0, h[:, 0], out=out[start : start + n])
        return out

    return {"numpy in place, chunks": predict}


def training(task):
    return {"numpy by hand": lambda: _train(*task)}


def _gradient(layers, x, t, out):
    (w1, b1), (w2, b2), (w3, b3) = layers
    h1 = np.maximum(x @ w1.T + b1, 0.0)
    h2 = np.maximum(h1 @ w2.T + b2, 0.0)
    d3 = (1.0 / (1.0 + np.exp(-(h2 @ w3.T + b3))) - t) / np.float32(len(x))
    d2 = (d3 @ w3) * (h2 > 0)
    d1 = (d2 @ w2) * (h1 > 0)
    for (gw, gb), d, h in zip(out, (d1, d2, d3), (x, h1, h2), strict=True):
        np.dot(d.T, h, out=gw)
        np.sum(d, axis=0, out=gb)


def _train(flat, X, y, order, optimizer, rate):
    p, g = flat.copy(), np.empty_like(flat)
    m, v, scratch = np.zeros_like(flat), np.zeros_like(flat), np.empty_like(flat)
    layers, gradients, t = split(p), split(g), 0
    target = y[:, None]
    for rows in order:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            _gradient(layers, X[batch], target[batch], gradients)
            t += 1
            if optimizer == "sgd":
                p -= np.float32(rate) * g
                continue
            m *= np.float32(0.9)
            m += np.float32(0.1) * g
            v *= np.float32(0.999)
            v += np.float32(0.001) * g * g
            np.sqrt(v, out=scratch)
            scratch *= np.float32(1 / math.sqrt(1 - 0.999**t))
            scratch += np.float32(1e-8)
            np.divide(m, scratch, out=scratch)
            scratch *= np.float32(rate / (1 - 0.9**t))
            p -= scratch
    return p
