"""The golden loop: the file is what its script makes, and Swift begins where Python does."""

import sys
from pathlib import Path

import numpy as np

from inhabit import priors
from inhabit.features import DEFAULT_FEATURES

VECTORS = Path(__file__).parents[1] / "vectors"
sys.path.insert(0, str(VECTORS))

import make_personalizer  # noqa: E402


def test_file_is_what_its_script_makes():
    assert make_personalizer.FILE.read_text(encoding="utf-8") == make_personalizer.document()


def test_the_builtin_prior_holds_the_present_defaults():
    file = priors.read()
    now = priors.prior_for(file, DEFAULT_FEATURES).tensors()
    assert sorted(now) == sorted(file.tensors)
    for name, tensor in now.items():
        np.testing.assert_array_equal(tensor, file.tensors[name], name)
