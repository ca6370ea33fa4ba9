"""The golden answers are what this code says: see tests/vectors/make_due.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "vectors"))

import make_due


def test_the_file_is_what_its_script_makes() -> None:
    assert make_due.FILE.read_text(encoding="utf-8") == make_due.document()
