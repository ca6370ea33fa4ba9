"""A model that lives on the device and learns one person's habits.

The loop in one object is `Personalizer`. Below it, each floor can be used alone: the `EventLog`,
the `FeatureSet`, the `Network` and its `train`, the `Model` that is served and its `walk_forward`
(`train_many` and `walk_forward_many` do that for many people), `is_due`, `decide`, `replay`.

Names are loaded when they are first used: ``import inhabit`` loads the core and nothing else, not
even numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from inhabit._native import (
    Model,
    ModelConfig,
    Network,
    Prior,
    TrainingConfig,
    TrainingResult,
    __version__,
    ensemble,
    train,
    train_many,
    walk_forward,
    walk_forward_many,
)

if TYPE_CHECKING:
    from inhabit.checkpoints import Generation, GenerationStore
    from inhabit.decisions import Decision, DecisionPolicy, PolicyState, decide
    from inhabit.evaluation import replay
    from inhabit.events import Event, EventColumns, EventLog
    from inhabit.exceptions import (
        CheckpointError,
        ConfigError,
        EventError,
        ImportFailure,
        InhabitError,
        NonFiniteError,
        ShapeError,
        StorageError,
    )
    from inhabit.features import DEFAULT_FEATURES, FeatureSet, feature, last_value
    from inhabit.moments import Moments, Schedule, Window
    from inhabit.personalizer import Personalizer
    from inhabit.samples import Samples
    from inhabit.scheduling import DeviceState, Due, TrainingRequest, is_due
    from inhabit.settings import Settings
    from inhabit.targets import Target

__all__ = [
    "DEFAULT_FEATURES",
    "CheckpointError",
    "ConfigError",
    "Decision",
    "DecisionPolicy",
    "DeviceState",
    "Due",
    "Event",
    "EventColumns",
    "EventError",
    "EventLog",
    "FeatureSet",
    "Generation",
    "GenerationStore",
    "ImportFailure",
    "InhabitError",
    "Model",
    "ModelConfig",
    "Moments",
    "Network",
    "NonFiniteError",
    "Personalizer",
    "PolicyState",
    "Prior",
    "Samples",
    "Schedule",
    "Settings",
    "ShapeError",
    "StorageError",
    "Target",
    "TrainingConfig",
    "TrainingRequest",
    "TrainingResult",
    "Window",
    "__version__",
    "decide",
    "ensemble",
    "feature",
    "is_due",
    "last_value",
    "replay",
    "train",
    "train_many",
    "walk_forward",
    "walk_forward_many",
]

_LATER: Final = {
    "checkpoints": ("Generation", "GenerationStore"),
    "decisions": ("Decision", "DecisionPolicy", "PolicyState", "decide"),
    "evaluation": ("replay",),
    "events": ("Event", "EventColumns", "EventLog"),
    "exceptions": (
        "CheckpointError",
        "ConfigError",
        "EventError",
        "ImportFailure",
        "InhabitError",
        "NonFiniteError",
        "ShapeError",
        "StorageError",
    ),
    "features": ("DEFAULT_FEATURES", "FeatureSet", "feature", "last_value"),
    "moments": ("Moments", "Schedule", "Window"),
    "personalizer": ("Personalizer",),
    "samples": ("Samples",),
    "scheduling": ("DeviceState", "Due", "TrainingRequest", "is_due"),
    "settings": ("Settings",),
    "targets": ("Target",),
}
_HOME: Final = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'inhabit' has no attribute {name!r}")
    value = getattr(import_module(f"inhabit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
