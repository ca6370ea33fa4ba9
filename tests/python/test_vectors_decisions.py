"""The golden decisions are what this code decides: see tests/vectors/make_decisions.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "vectors"))

import make_decisions


def test_the_file_is_what_its_script_makes() -> None:
    assert make_decisions.FILE.read_text(encoding="utf-8") == make_decisions.document()
