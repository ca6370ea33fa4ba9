"""River: it has no network; its logistic regression learns one row at a time."""

from __future__ import annotations

from river.linear_model import LogisticRegression
from river.optim import SGD

from rival import ANOTHER_MODEL


def _rows(X):
    names = [f"x{i}" for i in range(X.shape[1])]
    return [dict(zip(names, row, strict=True)) for row in X.tolist()]


def single(_flat):
    model = LogisticRegression()
    row = {f"x{i}": 0.5 for i in range(10)}
    model.learn_one(row, 1)
    return {f"river {ANOTHER_MODEL}": lambda _: model.predict_proba_one(row)[True]}


def training(task):
    if task.optimizer != "sgd":
        return {}
    rows, labels = _rows(task.X), task.y.tolist()

    def train():
        model = LogisticRegression(SGD(task.rate))
        for epoch in task.order.tolist():
            for row in epoch:
                model.learn_one(rows[row], labels[row])

    return {f"river learn_one {ANOTHER_MODEL}": train}
