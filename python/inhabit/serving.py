"""A generation in service: it answers questions, and goes on learning what matures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from inhabit._native import EXPERTS
from inhabit.explanation import shapley
from inhabit.training import resume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inhabit._native import Model
    from inhabit.checkpoints import Generation
    from inhabit.questions import Question, Questions
    from inhabit.training import Origin

__all__ = ["Serving"]


class Serving:
    """A model in the state that a walk over all scheduled moments up to now would leave it in.

    Except that networks are trained by a training only.

    Parameters
    ----------
    generation : Generation or None
        What was learnt; None serves the prior.
    origin : Origin
        Where walks begin.
    questions : Questions
        What is asked.
    offset_s : int
        The present local offset.
    """

    def __init__(
        self, generation: Generation | None, origin: Origin, questions: Questions, offset_s: int
    ) -> None:
        self.model = resume(generation, origin)
        self.revision = questions.log.revision
        self._questions = questions
        self._answered: tuple[Question, float] | None = None
        self.number = 0
        self.labels = 0
        self.metrics: dict[str, float] = {}
        self.average = np.full(len(origin.feature_set), 0.5, np.float32)
        self.after_us = 0
        self._next_us = 0
        if generation is not None:
            manifest = generation.manifest
            self.number = generation.number
            self.labels = manifest.counts["labels"]
            self.metrics = dict(manifest.metrics)
            self.average = generation.tensors["features.mean"].astype(np.float32)
            self.after_us = manifest.settings["last_moment_us"]
            self._next_us = questions.next_moment_us(self.after_us, offset_s)

    @property
    def experts(self) -> dict[str, float]:
        """Weight of each expert now, the heaviest first."""
        weights = zip(EXPERTS, self.model.weights.tolist(), strict=True)
        return dict(sorted(weights, key=lambda item: -item[1]))

    def answer(self, now_us: int, offset_s: int) -> tuple[Question, float]:
        """Return the question that is open, and the probability as of its moment."""
        if self._answered is None or not self._answered[0].is_open(now_us, offset_s):
            question = self._questions.open_at(now_us, offset_s)
            self._answered = question, self.model.predict(question.x, question.slot)
        return self._answered

    def explain(self, x: NDArray[np.float32], slot: int) -> NDArray[np.float64]:
        """Return by how much each feature moves a prediction away from that of average features."""
        return shapley(partial(_predict, self.model, slot), x, self.average)

    def catch_up(self, now_us: int, offset_s: int) -> None:
        """Learn what has matured before the scheduled moments since, in the order of a walk."""
        if now_us < self._next_us:
            return
        table = self._questions.samples(now_us)
        walked = int(np.searchsorted(table.moments.at_us, self.after_us, side="right"))
        due = (table.learn_at >= walked) & (table.learn_at < len(table))
        known = table.matured_label >= 0
        for at in np.unique(table.learn_at[due & known]):
            rows = np.flatnonzero(known & (table.learn_at == at))
            before = table.learn_at[known & (table.learn_at < at)].max(initial=0)
            slot, label = table.slot[rows].tolist(), table.label[rows].tolist()
            self.model.learn_together(table.features[rows], slot, label, (before > rows).tolist())
        if len(table):
            self.after_us = int(table.moments.at_us[-1])
        self._next_us = self._questions.next_moment_us(now_us, offset_s)
        self._answered = None


def _predict(model: Model, slot: int, x: NDArray[np.float32]) -> float:
    return model.predict(x, slot)
