"""The rivals of `quality.py`: what a competent outsider would do with scikit-learn and River.

Nothing here imports `inhabit`. Every function maps people to out-of-sample probabilities: the
prediction of a step is made from that person's earlier steps and what is known beforehand, and
whatever was fitted on several people has not seen this one. Hyper-parameters are set once.
"""

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from river import linear_model, optim, preprocessing
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convert import Step

Array = NDArray[np.float64]

LOCAL = ("base", "markov", "ema", "river_LR", "user_LR", "user_MLP")
POOLED = ("pool_LR", "pool_GBM", "pool_MLP", "MLP+tune")
MIX_LOCAL = ("base", "markov", "ema", "user_LR", "user_MLP")
MIX_ALL = (*MIX_LOCAL, *POOLED)
NAMES = (*LOCAL, *POOLED, "mix_local", "mix_all")

EMA_RATES = (0.05, 0.15, 0.4)
ALL = slice(None)
FEW = (0, 2, 6, 7)  # rate, a recency-weighted rate, the last two outcomes: for one person
REFIT_EVERY = 5  # steps between two fits of a network on one person
CLIP = (0.01, 0.99)


@dataclass(frozen=True)
class Person:
    """The known steps of one person in time order, as columns."""

    user: str
    label: NDArray[np.int8]
    slot: NDArray[np.int64]
    day: NDArray[np.int64]  # ordinal of the date
    context: Array  # [n, n_context]; missing values are nan
    scored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(cls, user: str, steps: Iterable[Step], context: Sequence[str], warm_up: int) -> "Person":
        known = [step for step in steps if step.label is not None]
        return cls(
            user=user,
            label=np.array([step.label for step in known], np.int8),
            slot=np.array([step.slot for step in known]),
            day=np.array([step.day.toordinal() for step in known]),
            context=np.array(
                [[step.context.get(name, np.nan) for name in context] for step in known]
            ).reshape(len(known), len(context)),
            scored=np.arange(len(known)) >= warm_up,
        )


def logit(p: Array | float) -> Array:
    return np.log(p) - np.log1p(-np.asarray(p))


# --- Features ----------------------------------------------------------------------------------


def history(person: Person) -> Array:
    """Own-history features of each step, from earlier steps only."""
    rows = []
    ema = dict.fromkeys(EMA_RATES, 0.5)
    slots: dict[int, list[int]] = {}
    weekdays: dict[int, list[int]] = {}
    streak = 0
    for k, (slot, day) in enumerate(zip(person.slot, person.day, strict=True)):
        past = person.label[:k]
        rate = (past.sum() + 1) / (k + 2)
        same_slot, same_weekday = slots.setdefault(slot, []), weekdays.setdefault(day % 7, [])
        last = [float(past[-lag]) if k >= lag else 0.5 for lag in (1, 2, 3, 7)]
        rows.append(
            [
                logit(rate),
                *(logit(np.clip(value, 0.02, 0.98)) for value in ema.values()),
                logit((sum(same_slot) + 3 * rate) / (len(same_slot) + 3)),
                logit((sum(same_weekday) + 3 * rate) / (len(same_weekday) + 3)),
                *last,
                np.tanh(streak / 5),
                np.log1p(day - person.day[k - 1]) if k else 0.0,
                k / (k + 20),
            ]
        )
        label = int(person.label[k])
        same_slot.append(label)
        same_weekday.append(label)
        for alpha in ema:
            ema[alpha] += alpha * (label - ema[alpha])
        streak = max(streak, 0) + 1 if label else min(streak, 0) - 1
    return np.array(rows)


def known_before(person: Person, n_slots: int) -> Array:
    """Slot, weekend, and the context at the moment (missing values become 0 with a flag)."""
    slots = np.eye(n_slots)[person.slot] if n_slots > 1 else np.empty((len(person), 0))
    # date.fromordinal(1) was a Monday
    weekend = ((person.day - date(1, 1, 1).toordinal()) % 7 >= 5).astype(float)[:, None]
    missing = np.isnan(person.context)
    context = np.where(missing, 0.0, person.context)
    context = np.sign(context) * np.log1p(np.abs(context))
    return np.hstack([slots, weekend, context, missing.any(axis=1, keepdims=True)])


def design(person: Person, n_slots: int, columns: Sequence[int] | slice = ALL) -> Array:
    """Features of each step, [n, n_features]: these columns of `history`, and what is known."""
    return np.hstack([history(person)[:, columns], known_before(person, n_slots)])


# --- One person --------------------------------------------------------------------------------


def base(label: Array) -> Array:
    """Running rate (s + 1) / (n + 2)."""
    before = np.arange(len(label))
    return (np.cumsum(label) - label + 1) / (before + 2)


def ema(label: Array, alpha: float = 0.1) -> Array:
    """Exponentially weighted rate from 1/2."""
    p = np.empty(len(label))
    value = 0.5
    for k, y in enumerate(label):
        p[k] = value
        value += alpha * (y - value)
    return p


def markov(label: Array) -> Array:
    """Transition counts after a yes and after a no, each (s + 1) / (n + 2)."""
    p = np.empty(len(label))
    counts = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])  # after no, after yes, at the start
    state = 2
    for k, y in enumerate(label):
        p[k] = counts[state, 1] / counts[state].sum()
        counts[state, int(y)] += 1
        state = int(y)
    return p


def river_lr(X: Array, label: Array) -> Array:
    """River's online logistic regression behind its online scaler."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.05))
    p = np.empty(len(label))
    for k, (x, y) in enumerate(zip(X, label, strict=True)):
        row = dict(enumerate(x))
        p[k] = model.predict_proba_one(row).get(True, 0.5)
        model.learn_one(row, bool(y))
    return p


def user_lr(X: Array, label: Array, fallback: Array) -> Array:
    """Logistic regression on the person's own earlier steps, refitted at each."""
    p = fallback.copy()
    for k in range(4, len(label)):
        if 0 < label[:k].sum() < k:
            model = LogisticRegression(C=0.3)
            p[k] = model.fit(X[:k], label[:k]).predict_proba(X[k : k + 1])[0, 1]
    return p


def user_mlp(X: Array, label: Array, fallback: Array) -> Array:
    """A network from random weights on the person's own steps, refitted every few steps."""
    p = fallback.copy()
    for k in range(REFIT_EVERY, len(label), REFIT_EVERY):
        if 0 < label[:k].sum() < k:
            model = make_pipeline(StandardScaler(), network())
            model.fit(X[:k], label[:k])
            upcoming = slice(k, k + REFIT_EVERY)
            p[upcoming] = model.predict_proba(X[upcoming])[:, 1]
    return p


def network() -> MLPClassifier:
    return MLPClassifier((16, 8), alpha=1.0, learning_rate_init=3e-3, max_iter=60, random_state=0)


def local(person: Person, n_slots: int) -> dict[str, Array]:
    """All rivals that see one person only."""
    label = person.label.astype(float)
    X = design(person, n_slots, FEW)
    running = base(label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            "base": running,
            "markov": markov(label),
            "ema": ema(label),
            "river_LR": river_lr(design(person, n_slots), label),
            "user_LR": user_lr(X, person.label, running),
            "user_MLP": user_mlp(X, person.label, running),
        }


# --- Other people ------------------------------------------------------------------------------


def pooled(
    others: Sequence[Person], people: Sequence[Person], n_slots: int
) -> dict[str, dict[str, Array]]:
    """Models fitted on ``others`` and applied to ``people``: probabilities by user and rival."""

    X, y = np.vstack([design(p, n_slots) for p in others]), np.hstack([p.label for p in others])
    scaler = StandardScaler().fit(X)
    lr = LogisticRegression(C=0.1, max_iter=500).fit(scaler.transform(X), y)
    gbm = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=80, max_leaf_nodes=4, min_samples_leaf=30, random_state=0
    ).fit(X, y)
    mlp = network()
    result = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(scaler.transform(X), y)
        for person in people:
            own = design(person, n_slots)
            scaled = scaler.transform(own)
            result[person.user] = {
                "pool_LR": lr.predict_proba(scaled)[:, 1],
                "pool_GBM": gbm.predict_proba(own)[:, 1],
                "pool_MLP": mlp.predict_proba(scaled)[:, 1],
                "MLP+tune": tuned(mlp, scaled, person.label),
            }
    return result


def tuned(pool: MLPClassifier, X: Array, label: NDArray[np.int8], epochs: int = 5) -> Array:
    """The pooled network, fine-tuned naively on the person's own steps every few steps."""
    p = pool.predict_proba(X)[:, 1]
    for k in range(REFIT_EVERY, len(label), REFIT_EVERY):
        model = copy.deepcopy(pool)
        for _ in range(epochs):
            model.partial_fit(X[:k], label[:k])
        upcoming = slice(k, k + REFIT_EVERY)
        p[upcoming] = model.predict_proba(X[upcoming])[:, 1]
    return p


# --- Mixtures ----------------------------------------------------------------------------------


def mixture(experts: Mapping[str, Array], names: Sequence[str], label: Array) -> Array:
    """Online Bayesian mixture from equal weights: each expert's weight is its likelihood so far."""
    p = np.clip(np.column_stack([experts[name] for name in names]), *CLIP)
    likelihood = np.log(np.where(np.asarray(label)[:, None] == 1, p, 1 - p))
    before = np.cumsum(likelihood, axis=0) - likelihood
    weight = np.exp(before - before.max(axis=1, keepdims=True))
    return (weight * p).sum(axis=1) / weight.sum(axis=1)


def folds(users: Iterable[str], n_folds: int = 5, seed: int = 0) -> dict[str, int]:
    """Fold of each person: a seeded deal of the sorted names."""
    ordered = sorted(users)
    order = np.random.default_rng(seed).permutation(len(ordered))
    return {ordered[person]: int(place % n_folds) for place, person in enumerate(order)}
