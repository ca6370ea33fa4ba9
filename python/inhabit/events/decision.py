"""A decision as it is stored, between the policy that took it and its outcome."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """A decision as the log keeps it; what decides is `inhabit.decisions`.

    Attributes
    ----------
    subject : str
    at_us, utc_offset_s : int
        The moment of the decision.
    slot : int
        Index of the moment in the schedule.
    window_start_us, window_end_us : int
        When the target may happen.
    action : str
        What was decided, such as ``"remind"``.
    probability : float or None
        Predicted chance of the target; None once an event it rested on was forgotten.
    propensity : float
        Chance with which this action was chosen, in (0, 1].
    generation : int
        The generation that predicted; 0 if nothing was trained yet.
    reasons : tuple of str
        Why, in words; empty once an event they rested on was forgotten.
    features : bytes or None
        The features of the moment, float32 little-endian; None once forgotten.
    zone : str
        ``"low"``, ``"middle"`` or ``"high"``: the memory of the hysteresis.
    outcome : int or None
        1 happened, 0 did not, -1 will never be known, None still open.
    id : int or None
        Number in the log; None before it is stored.
    """

    subject: str
    at_us: int
    utc_offset_s: int
    slot: int
    window_start_us: int
    window_end_us: int
    action: str
    probability: float | None
    propensity: float
    generation: int
    reasons: tuple[str, ...]
    features: bytes | None
    zone: str
    outcome: int | None = None
    id: int | None = None

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> StoredDecision:
        """Return the decision of a row of `SELECT_DECISIONS`."""
        number, *values = row
        fields = dict(zip(_COLUMNS, values, strict=True))
        fields["reasons"] = tuple(json.loads(fields["reasons"]))
        return cls(id=number, **fields)

    def to_row(self) -> tuple[object, ...]:
        """Return the parameters of `INSERT_DECISION`."""
        fields = {name: getattr(self, name) for name in _COLUMNS}
        fields["reasons"] = json.dumps(self.reasons, ensure_ascii=False)
        return tuple(fields.values())


_COLUMNS: Final = tuple(name for name in StoredDecision.__slots__ if name != "id")
INSERT_DECISION: Final = (
    f"INSERT INTO decisions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
)
SELECT_DECISIONS: Final = f"SELECT id, {', '.join(_COLUMNS)} FROM decisions"  # noqa: S608
