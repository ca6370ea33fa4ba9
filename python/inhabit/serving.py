"""A generation in service: it answers questions, and goes on learning what matures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inhabit._native import EXPERTS
from inhabit.explanation import shapley
from inhabit.samples import UNKNOWN, Walked
from inhabit.training import resume, walked_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from inhabit.checkpoints import Generation
    from inhabit.events import EventRow
    from inhabit.questions import Question, Questions
    from inhabit.samples import Asked
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
    """

    def __init__(self, generation: Generation | None, origin: Origin, questions: Questions) -> None:
        self.model = resume(generation, origin)
        self.revision = questions.log.revision
        self._questions = questions
        self._answered: tuple[Question, float] | None = None
        self.number = 0
        self.labels = 0
        self.metrics: dict[str, float] = {}
        self.average = np.full(len(origin.feature_set), 0.5, np.float32)
        self.walked: Walked | None = None
        self._learnt = 0
        self._asked: Asked | None = None
        if generation is not None:
            manifest = generation.manifest
            self.number = generation.number
            self.labels = manifest.counts["labels"]
            self.metrics = dict(manifest.metrics)
            self.average = generation.tensors["features.mean"].astype(np.float32)
            self.walked = walked_of(generation)

    @property
    def experts(self) -> dict[str, float]:
        """Weight of each expert now, the heaviest first."""
        weights = zip(EXPERTS, self.model.weights.tolist(), strict=True)
        return dict(sorted(weights, key=lambda item: -item[1]))

    def answer(self, now_us: int, offset_s: int) -> tuple[Question, float]:
        """Return the question that is open, and the probability as of its moment."""
        if self._answered is None or not self._answered[0].is_open(now_us, offset_s):
            question = self._questions.open_at(now_us, offset_s, self._asked)
            self._answered = question, self.model.predict(question.x, question.slot)
        return self._answered

    def explain(self, x: NDArray[np.float32], slot: int) -> NDArray[np.float64]:
        """Return by how much each feature moves a prediction away from that of average features."""
        return shapley(lambda features: self.model.predict(features, slot), x, self.average)

    def catch_up(self, now_us: int) -> None:
        """Learn what has matured before the scheduled moments since, in the order of a walk."""
        if self._asked is not None and now_us < self._asked.next_us:
            return
        calendar = self._asked.calendar if self._asked is not None else None
        self._asked = self._questions.asked(now_us, self.walked, calendar)
        table = self._asked.samples
        label, slot = table.matured_label.tolist(), table.slot.tolist()
        at_us, matures_at_us = table.moments.at_us.tolist(), table.matures_at_us.tolist()
        together: dict[int, list[int]] = {}  # rows whose labels are learnt before the same row
        for row, learn_at in enumerate(table.learn_at.tolist()):
            if label[row] != UNKNOWN and learn_at < len(table):
                together.setdefault(learn_at, []).append(row)
        learnt_us = self.walked.learnt_us if self.walked else None
        for _, rows in sorted(together.items()):
            # Others were learnt since these moments, which could not know of them.
            late = [learnt_us is not None and at_us[row] < learnt_us for row in rows]
            slots, labels = [slot[row] for row in rows], [label[row] for row in rows]
            self.model.learn_together(table.features[rows], slots, labels, late)
            learnt_us = max(matures_at_us[row] for row in rows)
            self._learnt += len(rows)
        last_us = max(at_us, default=-1)
        if self.walked is None or last_us > self.walked.last_us:  # no clock was set back
            self.walked = Walked(last_us, learnt_us) if len(table) else None
        self._answered = None

    def told(self, rows: Iterable[EventRow]) -> None:
        """Take note of new events, none of them recorded before the last moment walked.

        They change nothing that is learnt; but another local time may bring a moment at once.
        """
        if self._asked is not None:
            clock = self._asked.calendar.clock
            since_us, offset_s = clock.changed_at_us[-1], clock.utc_offset_s[-1]
            if any(row.utc_offset_s != offset_s or row.recorded_at_us <= since_us for row in rows):
                self._asked = None

    def new_labels(self, now_us: int) -> int:
        """Return how many labels have matured since the training."""
        table = self._questions.asked(now_us, self.walked).samples
        return self._learnt + int((table.matured_label != UNKNOWN).sum())
