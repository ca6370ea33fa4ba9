"""The command line: ``inhabit``, also ``python -m inhabit``."""

from __future__ import annotations

import click

from inhabit import __version__
from inhabit.cli import daily, learning
from inhabit.cli._common import Group

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="inhabit")
def main() -> None:
    """Learn one person's habits, on this device and nowhere else.

    Start with `inhabit demo`, or with your own: `inhabit record habit_completed -s meditate`.
    """


for _command in (
    learning.demo,
    learning.import_,
    daily.record,
    daily.predict,
    daily.decide,
    learning.train,
    daily.status,
    learning.replay,
    learning.prior,
    daily.export,
    daily.forget,
):
    main.add_command(_command)
