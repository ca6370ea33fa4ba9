"""Settings shared by every Python test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadlines: time is measured in benches/, never asserted in a test. `print_blob` makes a failure
# in CI repeatable.
_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("default", max_examples=60, stateful_step_count=30, **_COMMON)
settings.register_profile("thorough", max_examples=1000, stateful_step_count=100, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
