"""The served model in plain Python, without networks: an oracle for `inhabit._native.Model`.

Written from the formulas in the documentation of ``rust/core``, with `math` and numpy's matrices in
place of the core's own functions and packed triangles.
"""

import math

import numpy as np

DECAYS = (0.015, 0.05, 0.15, 0.4)
CLIP = 1e-3
BOLDNESS = 10.0
LEAVING = 0.01


def log_odds(p):
    p = min(max(p, CLIP), 1 - CLIP)
    return math.log(p / (1 - p))


def sigmoid(a):
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


class Rates:
    """Running rates, from the whole list of outcomes."""

    def __init__(self):
        # (slot, outcome, the last one known before it, its part of one, its group, and the misses
        # in a row known before it in its slot), oldest first
        self.outcomes = []
        self.groups = 0

    def misses(self, slot):
        own = [y for s, y, *_ in self.outcomes if s == slot]
        return min(([*own[::-1], 1]).index(1), 7) if own else None

    def learn_together(self, slots, labels):
        last = self.outcomes[-1][1] if self.outcomes else None
        part = 1 / len(labels)
        self.groups += 1
        misses = [self.misses(slot) for slot in slots]
        for slot, y, missed in zip(slots, labels, misses, strict=True):
            self.outcomes.append((slot, y, last, part, self.groups, missed))

    def read(self, slot):
        def rate(rows, prior, towards):
            done, count = sum(w * y for w, y in rows), sum(w for w, _ in rows)
            return (done + prior * towards) / (count + prior)

        overall = rate([(part, y) for _, y, _, part, *_ in self.outcomes], 2, 0.5)
        moving, slower = [], overall
        for decay in DECAYS:
            faded = [
                (part * (1 - decay) ** (self.groups - group), y)
                for _, y, _, part, group, _ in self.outcomes
            ]
            slower = rate(faded, 2, slower)
            moving.append(slower)
        own = [(1, y) for s, y, *_ in self.outcomes if s == slot]
        in_slot = rate(own, 4, overall)
        last = self.outcomes[-1][1] if self.outcomes else 0.5
        following = [(part, y) for _, y, before, part, *_ in self.outcomes if before == last]
        after = rate(following, 3, overall)
        misses = self.misses(slot)
        as_often = [(part, y) for _, y, _, part, _, before in self.outcomes if before == misses]
        due = rate(as_often, 3, after) if own else after
        last_in_slot = own[-1][1] if own else 0.5
        return overall, moving, in_slot, after, due, last, last_in_slot, self.present()

    def present(self):
        """Return the rate of somebody who may have left for good since the last success."""
        there, done, count, done_then, count_then = 1.0, 0, 0, 0, 0
        for _, y, _, part, *_ in self.outcomes:
            rate = (done_then + 1) / (count_then + 2)
            done, count = done + part * y, count + part
            if y:
                there, done_then, count_then = 1.0, done, count
            else:
                missed = there * (1 - rate) ** part
                there = missed / (missed + 1 - there)
            there *= 1 - LEAVING * part
        return there * (done_then + 1) / (count_then + 2)


class Logistic:
    """A Gaussian over weights, moved to the posterior mode by each outcome."""

    def __init__(self, mean, variance, retention):
        self.prior_mean, self.prior = np.array(mean), np.diag(variance)
        self.mean, self.covariance = self.prior_mean.copy(), self.prior.copy()
        self.retention = retention

    def predict(self, z):
        variance = z @ self.covariance @ z
        return sigmoid(self.mean @ z / math.sqrt(1 + math.pi / 8 * variance))

    def learn(self, z, y, part=1.0):
        gain = self.covariance @ z
        mean, variance = self.mean @ z, z @ gain
        low, high = mean - part * variance, mean + part * variance
        for _ in range(200):  # bisection of an increasing function
            mode = (low + high) / 2
            if mode - mean - part * variance * (y - sigmoid(mode)) > 0:
                high = mode
            else:
                low = mode
        p = sigmoid(mode)
        self.mean = self.mean + gain * part * (y - p)
        shrink = part * p * (1 - p) / (1 + part * p * (1 - p) * variance)
        self.covariance = self.covariance - shrink * np.outer(gain, gain)
        keep = self.retention
        self.mean = self.prior_mean + keep * (self.mean - self.prior_mean)
        self.covariance = keep**2 * self.covariance + (1 - keep**2) * self.prior


class Mixture:
    """A share that falls with the outcomes."""

    def __init__(self, initial, share):
        self.initial, self.weights, self.share = np.array(initial), np.array(initial), share

    def predict(self, experts):
        return float(self.weights @ experts)

    def learn(self, experts, y, part, earlier):
        likely = self.weights * np.power(experts if y else 1 - np.asarray(experts), part)
        share = part * self.share / (1 + self.share * earlier)
        self.weights = (1 - share) * likely / likely.sum() + share * self.initial


class Calibration:
    """The identity and Platt's map, mixed."""

    def __init__(self, share):
        self.map = Logistic([0.0, 1.0], [0.02, 0.02], 0.9995)
        self.mixture = Mixture([0.75, 0.25], share)

    def pair(self, p):
        offset, slope = self.map.mean
        mapped = sigmoid(offset + max(slope, 0.1) * math.log(p / (1 - p)))
        return np.array([p, mapped])

    def apply(self, p):
        return self.mixture.predict(self.pair(p))

    def learn(self, p, y, part, earlier):
        self.mixture.learn(self.pair(p), y, part, earlier)
        self.map.learn(np.array([1.0, math.log(p / (1 - p))]), y, part)


class ReferenceModel:
    """What `inhabit._native.Model` does without networks."""

    def __init__(self, config, prior):
        self.config = config
        self.rates = Rates()
        settings = (
            (config.retention, 1.0),
            (config.quick_retention, 1.0),
            (config.retention, BOLDNESS),
        )
        self.logistic = [Logistic(prior.mean, s * prior.variance, keep) for keep, s in settings]
        self.mixture = Mixture(prior.experts, config.share)
        self.calibration = Calibration(config.share)

    def _see(self, x, slot):
        overall, moving, in_slot, after, due, last, last_in_slot, present = self.rates.read(slot)
        base = log_odds(overall)
        inputs = [
            log_odds(v) - base if i in self.config.rates else v
            for i, v in enumerate(np.asarray(x, np.float32).astype(float))
        ]
        relative = [log_odds(rate) - base for rate in (*moving, in_slot, after)]
        z = np.array([1.0, base, *relative, last - 0.5, last_in_slot - 0.5, 0.0, *inputs])
        logistic = [model.predict(z) for model in self.logistic]
        experts = [overall, *moving[:3], present, in_slot, due, *logistic, overall, overall]
        return z, np.clip(experts, CLIP, 1 - CLIP)

    def experts(self, x, slot):
        return self._see(x, slot)[1]

    def predict(self, x, slot):
        return self.calibration.apply(self.mixture.predict(self.experts(x, slot)))

    def learn(self, x, slot, y):
        self.learn_together([x], [slot], [y])

    def learn_together(self, rows, slots, labels):
        stated = [self._see(x, slot) for x, slot in zip(rows, slots, strict=True)]
        said = [self.mixture.predict(experts) for _, experts in stated]
        part, earlier = 1 / len(stated), self.rates.groups
        self.rates.learn_together(slots, labels)
        for (z, experts), p, y in zip(stated, said, labels, strict=True):
            self.calibration.learn(p, y, part, earlier)
            self.mixture.learn(experts, y, part, earlier)
            for model in self.logistic:
                model.learn(z, y, part)
