"""What the loop says of itself: what came of a training, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from inhabit.scheduling import DeviceState, Due

__all__ = ["Status", "Training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What came of a training; true when there is a new generation.

    Attributes
    ----------
    outcome : {"trained", "unchanged", "not due", "expired", "cancelled"}
        A new generation; nothing new to learn; see ``due``; or stopped on the way: what was done so
        far is kept, and the next training goes on from there.
    generation : int
        Number of the generation in service now; 0 is the prior.
    samples : int
        Labels learnt from.
    metrics : dict
        Walk-forward scores, beside those of the running base rate.
    seconds : float
        How long it took.
    due : Due or None
        Why it was, or was not, the time to train; None when nobody asked.
    """

    outcome: Literal["trained", "unchanged", "not due", "expired", "cancelled"]
    generation: int
    samples: int = 0
    metrics: dict[str, float]
    seconds: float = 0.0
    due: Due | None = None

    def __bool__(self) -> bool:
        return self.outcome == "trained"

    def __str__(self) -> str:
        if self.outcome == "not due":
            return str(self.due)
        if self.outcome == "unchanged" and not self.samples:
            return "unchanged: no label has matured yet"
        done = f"{self.outcome}: generation {self.generation} from {_labels(self.samples)}"
        scores = _scores(self.metrics)
        return f"{done} in {1000 * self.seconds:.0f} ms{f', {scores}' if scores else ''}"

    def __repr__(self) -> str:
        return f"Training({str(self)!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where the loop stands.

    Attributes
    ----------
    subject : str
    home : str
    events : int
        Events of the log, of all subjects.
    generation : int
        In service now; 0 is the prior.
    samples : int
        Labels that generation has learnt from.
    new_samples : int
        Labels that have matured since.
    last_training : datetime or None
    metrics : dict
        Walk-forward scores of the generation, beside those of the running base rate.
    experts : dict
        Weight of each expert in the mixture, the heaviest first.
    decisions : dict
        How often each action was chosen.
    due : Due
        Whether a training is due now, and why.
    device : DeviceState
        What the device says of itself.
    """

    subject: str
    home: str
    events: int
    generation: int
    samples: int
    new_samples: int
    last_training: datetime | None
    metrics: dict[str, float]
    experts: dict[str, float]
    decisions: dict[str, int]
    due: Due
    device: DeviceState

    def lines(self) -> list[tuple[str, str]]:
        """Return the status as pairs of a name and a sentence."""
        trained = "never" if self.last_training is None else f"{self.last_training:%Y-%m-%d %H:%M}"
        heaviest = [f"{name} {100 * w:.0f} %" for name, w in self.experts.items() if w >= 0.05]
        return [
            ("subject", self.subject),
            ("home", self.home),
            ("events", f"{self.events}, of all subjects"),
            ("generation", f"{self.generation or 'none yet, the prior serves'}"),
            ("learnt from", f"{_labels(self.samples)}, {self.new_samples} new since"),
            ("last training", trained),
            ("predicts", _scores(self.metrics) or "no label to compare with yet"),
            ("experts", ", ".join(heaviest) or "none"),
            ("decisions", ", ".join(f"{n} {a}" for a, n in self.decisions.items()) or "none"),
            ("training", str(self.due)),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:<14} {value}" for name, value in self.lines())

    def __repr__(self) -> str:
        return (
            f"Status({self.subject!r}, events={self.events}, generation={self.generation}, "
            f"samples={self.samples}, {self.due})"
        )


def _labels(number: int) -> str:
    return f"{number} label{'' if number == 1 else 's'}"


def _scores(metrics: Mapping[str, float]) -> str:
    """Word the scores: ours beside the base rate's."""
    if not metrics:
        return ""
    loss, base = metrics["log_loss"], metrics["base_rate_log_loss"]
    return f"log loss {loss:.3f} (running base rate {base:.3f})"
