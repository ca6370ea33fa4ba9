"""scikit-learn: MLPClassifier, with its own start and shuffle in training."""

from __future__ import annotations

import os
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from rival import BATCH, split


def single(flat):
    model = _model(flat)
    return {"scikit-learn predict_proba": lambda x: model.predict_proba(x[None])[0, 1]}


def many(flat):
    model = _model(flat)
    return {"scikit-learn predict_proba": lambda X: model.predict_proba(X)[:, 1]}


def training(task):
    return {"scikit-learn MLPClassifier.fit": lambda: _fit(task.X, task.y, task)}


def people(task):
    jobs = Parallel(n_jobs=os.cpu_count())
    settings = task._replace(X=None, y=None)  # not everybody's data for every worker
    few = list(zip(task.X, task.y, strict=True))[:8]  # all of them would take minutes

    def everybody():
        jobs(delayed(_fit)(*one, settings) for one in few)

    return {"scikit-learn joblib": (everybody, len(few))}


def _model(flat):
    model = MLPClassifier((16, 8), max_iter=1)
    X = np.zeros((4, 10), np.float32)
    model.partial_fit(X, [0, 1, 0, 1], classes=[0, 1])
    model.coefs_ = [w.T.copy() for w, _ in split(flat)]
    model.intercepts_ = [b.copy() for _, b in split(flat)]
    return model


def _fit(X, y, task):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        MLPClassifier(
            (16, 8),
            solver=task.optimizer,
            alpha=0.0,
            batch_size=BATCH,
            learning_rate_init=task.rate,
            max_iter=len(task.order),
            momentum=0.0,
            n_iter_no_change=len(task.order),
            random_state=0,
        ).fit(X, y)
