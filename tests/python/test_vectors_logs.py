"""Logs that earlier versions wrote, in Python and in Swift: every later version reads them."""

import shutil
import sys
from pathlib import Path

import pytest

from inhabit.events import EventLog, EventRow

VECTORS = Path(__file__).parents[1] / "vectors"
sys.path.insert(0, str(VECTORS))

import make_loop  # noqa: E402


@pytest.mark.parametrize("file", sorted((VECTORS / "logs").glob("*.sqlite3")), ids=lambda f: f.stem)
def test_a_log_of_an_earlier_version_is_read(file: Path, tmp_path: Path):
    copy = Path(shutil.copy(file, tmp_path))
    case = next(case for case in make_loop.cases() if case.name == "clocks go back")
    with EventLog(copy) as log:
        rows = sorted(log.columns().rows())
        assert rows == sorted(map(EventRow._make, {row.id: row for row in case.rows}.values()))
        (decision,) = log.decisions("meditate")
    assert decision.action == "remind"
    assert decision.reasons == ("25 % likely, below 40 %",)
    assert decision.features == bytes.fromhex("0000003fcdcccc3d")
    assert decision.at_us == max(row.occurred_at_us for row in rows)
    assert decision.outcome is None
