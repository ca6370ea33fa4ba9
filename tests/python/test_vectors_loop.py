"""The golden loop: the file is what its script makes, and the oracle agrees with it."""

import sys
from pathlib import Path

import numpy as np
import pytest

import reference_features as oracle

VECTORS = Path(__file__).parents[1] / "vectors"
sys.path.insert(0, str(VECTORS))

import make_loop  # noqa: E402


def test_file_is_what_its_script_makes():
    assert make_loop.FILE.read_text(encoding="utf-8") == make_loop.document()


@pytest.mark.parametrize("case", make_loop.cases(), ids=lambda case: case.name)
def test_oracle_agrees(case):
    described = make_loop.described(case)
    question = case.rows, case.schedule, case.target
    grid = oracle.all_moments(*question, *[at for at in (case.decided_us,) if at is not None])
    moments = oracle.replayed_moments(*question, case.decided_us)
    assert described["moments"] == {
        name: [getattr(moment, name) for moment in moments] for name in described["moments"]
    }
    assert described["samples"]["label"] == [
        oracle.label(case.rows, case.target, moment) for moment in moments
    ]
    features = [
        oracle.default_features(case.rows, case.target, grid, m, case.decided_us) for m in moments
    ]
    assert described["samples"]["feature_bits"] == np.array(features).view(np.uint32).tolist()
