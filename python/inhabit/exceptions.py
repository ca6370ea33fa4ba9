"""The errors that `inhabit` raises.

Every error is an `InhabitError`, and also the closest built-in exception, so
that code which knows nothing of this package (``except ValueError``) still
does the right thing. A message names the argument, says what was expected
and what came, and, where a person can do something about it, what to do next.
An error leaves the object it came from as it was before the call.
"""

__all__ = [
    "CheckpointError",
    "ConfigError",
    "EventError",
    "ImportFailure",
    "InhabitError",
    "NonFiniteError",
    "ShapeError",
    "StorageError",
]


class InhabitError(Exception):
    """Base of all errors of this package."""


class ShapeError(InhabitError, ValueError):
    """An array or buffer has the wrong number of dimensions or elements."""


class NonFiniteError(InhabitError, ValueError):
    """A NaN or an infinity where only finite numbers have a meaning."""


class ConfigError(InhabitError, ValueError):
    """A setting outside its range, or settings that contradict each other."""


class EventError(InhabitError, ValueError):
    """An event that cannot be stored, such as one with a naive time."""


class ImportFailure(EventError):  # noqa: N818  (ImportError is a builtin of another meaning)
    """A file of events that could not be imported; nothing of it was kept."""


class CheckpointError(InhabitError, ValueError):
    """Bytes that are not a whole, unaltered generation of a known format."""


class StorageError(InhabitError, OSError):
    """The disk or the database said no: full, locked, damaged, too new, closed."""
