"""Settings of one home: what is predicted, when, and what is done with it.

A home may hold a ``config.toml``; what it does not say has the defaults below.

.. code-block:: toml

    target = "habit_completed"
    moments = ["04:00"]
    window = "rest-of-day"

    [policy]
    remind_below = 0.4
    quiet_hours = ["22:00", "07:00"]

    [request]
    requires_external_power = true
    interval = "P1D"
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields, is_dataclass, replace
from datetime import time
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from inhabit.decisions import DecisionPolicy
from inhabit.exceptions import ConfigError, StorageError
from inhabit.moments import REST_OF_DAY, Schedule, Window
from inhabit.scheduling import TrainingRequest
from inhabit.targets import Target

__all__ = ["Settings"]

_FILE: Final = "config.toml"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a `Personalizer` is told; frozen.

    Parameters
    ----------
    target : str
        Kind of event to predict.
    window : str
        ``rest-of-day``, ``next-day``, ``next-moment`` or a duration such as ``6h``.
    missing : {"negative", "unknown"}
        What it means that a window closed without the target.
    once : bool
        Whether once a day is enough: moments after it are then no question any more. Counts only
        where the window is the rest of the day.
    moments : tuple of time
        Times of day at which the question is asked anew; each is an example to learn from. By
        default once a day. Predictions may be asked for at any time.
    day_start : time
        When a local day begins.
    prior : str
        ``builtin`` (trained on other people, comes with the package), ``none``, or a file.
    keep : int
        How many generations stay on disk.
    policy : DecisionPolicy
        What to do with a probability.
    request : TrainingRequest
        When `Personalizer.train_if_due` trains.
    """

    target: str = "habit_completed"
    window: str = "rest-of-day"
    missing: Literal["negative", "unknown"] = "negative"
    once: bool = True
    moments: tuple[time, ...] = (time(4),)
    day_start: time = time(4)
    prior: str = "builtin"
    keep: int = 5
    policy: DecisionPolicy = DecisionPolicy()
    request: TrainingRequest = TrainingRequest()

    def __post_init__(self) -> None:
        if not (isinstance(self.keep, int) and self.keep >= 1):
            raise ConfigError(f"keep: expected a whole number >= 1, got {self.keep!r}")
        for name, kind in (
            ("once", bool),
            ("policy", DecisionPolicy),
            ("request", TrainingRequest),
        ):
            if not isinstance(value := getattr(self, name), kind):
                raise ConfigError(f"{name}: expected a {kind.__name__}, got {value!r}")
        self.schedule()
        self.about("")

    @classmethod
    def load(cls, home: Path) -> Settings:
        """Read the settings of a home; the defaults where there is no file.

        A relative path of a prior begins at the home, wherever the program was started.

        Raises
        ------
        ConfigError
            The file is not TOML, or says something that is no setting; the message names it.
        """
        file = home / _FILE
        try:
            said = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: not TOML: {error}") from None
        except OSError as error:
            raise StorageError(error.errno, f"cannot read {file}: {error.strerror}") from error
        _refuse_unknown(said, file)
        try:
            settings = msgspec.convert(_full_times(said), cls)
        except msgspec.ValidationError as error:
            hint = "; write P1D for a day, PT3H for three hours" if "duration" in str(error) else ""
            raise ConfigError(f"{file}: {error}{hint}") from None
        if settings.prior in ("builtin", "none"):
            return settings
        return settings.changed(prior=str(home / Path(settings.prior).expanduser()))

    def schedule(self) -> Schedule:
        """Return the times of day."""
        return Schedule(times=self.moments, day_start=self.day_start)

    def about(self, subject: str) -> Target:
        """Return what is predicted about a subject."""
        window = Window.parse(self.window)
        return Target(
            kind=self.target,
            subject=subject,
            window=window,
            missing=self.missing,
            once=self.once and window == REST_OF_DAY,
        )

    def changed(self, **changes: Any) -> Settings:
        """Return the settings with some of them replaced; None leaves one as it is.

        Raises
        ------
        ConfigError
            A name that is no setting, or a value out of range.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        if unknown := sorted(set(given) - set(self.__struct_fields__)):
            known = ", ".join(self.__struct_fields__)
            raise ConfigError(f"{unknown[0]}: there is no such setting, only {known}")
        return msgspec.structs.replace(self, **given)

    def consistent_policy(self) -> DecisionPolicy:
        """Return the policy with the day start of the schedule: there is only one kind of day."""
        return replace(self.policy, day_start=self.day_start)


def _full_times(value: Any) -> Any:
    """Write ``04:00`` as the ``04:00:00`` that msgspec asks of a time."""
    if isinstance(value, dict):
        return {key: _full_times(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_full_times(item) for item in value]
    return f"{value}:00" if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d", value) else value


def _refuse_unknown(said: dict[str, Any], file: Path) -> None:
    """Refuse misspelt keys, also of the nested tables, and say which there are."""
    if unknown := sorted(set(said) - set(Settings.__struct_fields__)):
        raise ConfigError(
            f"{file}: there is no setting {unknown[0]!r}, only "
            f"{', '.join(Settings.__struct_fields__)}"
        )
    for name, default in ((f, getattr(Settings(), f)) for f in Settings.__struct_fields__):
        table = said.get(name)
        if is_dataclass(default) and isinstance(table, dict):
            known = {field.name for field in fields(default)}
            for key in table:
                if key not in known:
                    raise ConfigError(
                        f"{file}: [{name}] has no setting {key!r}, only {', '.join(sorted(known))}"
                    )
