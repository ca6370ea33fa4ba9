"""The golden files of the core are what this code makes: see tests/vectors/make_core.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "vectors"))

import make_core


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return make_core.files()


@pytest.mark.parametrize("name", ["core", "prior", "ensemble", "generation"])
def test_the_file_is_what_its_script_makes(made: dict[str, bytes], name: str) -> None:
    name = f"{name}.safetensors"
    assert made[name] == (make_core.FOLDER / name).read_bytes()
