"""PyTorch, eager, on the processor: alone with autograd and its optimisers, and many by hand."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.nn.functional import linear

from rival import BATCH, split


def single(flat):
    torch.set_num_threads(1)
    return {"torch inference_mode": _forward(flat, torch.Tensor.item)}


def many(flat):
    torch.set_num_threads(1)
    return {"torch inference_mode": _forward(flat, torch.Tensor.numpy)}


def training(task):
    torch.set_num_threads(1)
    X, y, order = map(torch.from_numpy, (task.X, task.y, task.order.astype(np.int64)))
    kind = torch.optim.Adam if task.optimizer == "adam" else torch.optim.SGD

    def train(fused):
        model = _model(task.flat)
        steps = kind(model.parameters(), lr=task.rate, fused=fused)
        loss = torch.nn.BCEWithLogitsLoss()
        for rows in order:
            for batch in rows.split(BATCH):
                steps.zero_grad()
                loss(model(X[batch])[:, 0], y[batch]).backward()
                steps.step()
        return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])

    return {
        "torch eager": lambda: train(fused=False),
        "torch eager, fused optimiser": lambda: train(fused=True),
    }


def people(task):
    torch.set_num_threads(os.cpu_count() or 1)
    return {"torch baddbmm by hand": (lambda: _everybody(*task), len(task.X))}


def _layers(flat):
    return [(torch.from_numpy(w.copy()), torch.from_numpy(b.copy())) for w, b in split(flat)]


def _forward(flat, result):
    (w1, b1), (w2, b2), (w3, b3) = _layers(flat)
    from_numpy = torch.from_numpy

    @torch.inference_mode()
    def predict(x):
        h = linear(from_numpy(x), w1, b1).relu_()
        h = linear(h, w2, b2).relu_()
        return result(linear(h, w3, b3).sigmoid_())

    return predict


def _model(flat):
    parts = []
    for weight, bias in _layers(flat):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        parts += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


@torch.inference_mode()
def _everybody(flat, X, y, order, optimizer, rate):
    """Manual backpropagation, batched over the people; parameters [people, 321]."""
    X, y, order = map(torch.from_numpy, (X, y, order.astype(np.int64)))
    count = len(X)
    p = torch.from_numpy(np.tile(flat, (count, 1)))
    g, m, v = torch.empty_like(p), torch.zeros_like(p), torch.zeros_like(p)
    (w1, b1), (w2, b2), (w3, b3) = ((w, b[:, None]) for w, b in split(p))
    gradients = split(g)
    t = 0
    for rows in order:
        for batch in rows.split(BATCH):
            x, target = X[:, batch], y[:, batch, None]
            h1 = torch.baddbmm(b1, x, w1.mT).relu_()
            h2 = torch.baddbmm(b2, h1, w2.mT).relu_()
            d3 = torch.baddbmm(b3, h2, w3.mT).sigmoid_().sub_(target).div_(len(batch))
            d2 = torch.bmm(d3, w3).mul_(h2 > 0)
            d1 = torch.bmm(d2, w2).mul_(h1 > 0)
            for (gw, gb), d, h in zip(gradients, (d1, d2, d3), (x, h1, h2), strict=True):
                gw.copy_(torch.bmm(d.mT, h))
                gb.copy_(d.sum(1))
            t += 1
            if optimizer == "sgd":
                p.sub_(g, alpha=rate)
                continue
            m.mul_(0.9).add_(g, alpha=0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            scale = v.sqrt().mul_((1 - 0.999**t) ** -0.5).add_(1e-8)
            p.addcdiv_(m, scale, value=-rate / (1 - 0.9**t))
    return p.numpy()
