"""What the commands share: options, output for people or programs, errors of one line."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, TextIO, cast

import click
import msgspec
from click.exceptions import NoArgsIsHelpError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from inhabit.durable import replacement
from inhabit.exceptions import ConfigError, InhabitError
from inhabit.personalizer import Personalizer, default_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "DURATION",
    "EXPIRED",
    "INSTANT",
    "NOT_DUE",
    "Group",
    "check_output",
    "command",
    "console",
    "counted",
    "emit",
    "every_subject",
    "home_option",
    "note",
    "only_subject",
    "open_personalizer",
    "progress_bar",
    "subject_option",
    "written",
]

NOT_DUE: Final = 3
EXPIRED: Final = 4

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def console(*, stderr: bool = False) -> Console:
    """Return a console on the current output; it leaves out colours where they would be noise."""
    return Console(stderr=stderr, highlight=False)


# --- kinds of arguments --------------------------------------------------------------------------


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no duration; write 25s, 500ms, 5m, 2h or 1d", param, ctx)
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


class _Instant(click.ParamType[datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(str(value))
            return instant if instant.utcoffset() is not None else instant.astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 2026-03-02T18:30 or with +01:00", param, ctx)


DURATION: Final = _Duration()
INSTANT: Final = _Instant()


# --- commands ------------------------------------------------------------------------------------


class _OneLine(click.ClickException):
    """An error of one line that says what to do next."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"inhabit: {self.message}", err=file is None, file=file)


class _Misuse(_OneLine):
    """Wrong usage, in one line as well."""

    exit_code = 2


class Group(click.Group):
    """A group whose commands turn errors into one line and an exit code."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Parse the arguments before the command."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A name that the terminal cannot show is no reason to fail.
            sys.stdout.reconfigure(errors="backslashreplace")
        with _one_line():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the rest and run the command."""
        with _one_line():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order in which the commands were added: that of a first day."""
        del ctx
        return list(self.commands)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        help_ = "" if error.ctx is None else f"; see {error.ctx.command_path} --help"
        raise _Misuse(f"{error.format_message().rstrip('.')}{help_}") from error
    except InhabitError as error:
        # What an error of the operating system says, without its number.
        raise _OneLine(getattr(error, "strerror", None) or str(error)) from error
    except OverflowError as error:
        raise _OneLine("a time or a duration is out of range; nothing was done") from error
    except BrokenPipeError:  # click's to handle
        raise
    except OSError as error:
        said = error.strerror or str(error)
        raise _OneLine(f"{error.filename or 'the output'}: {said}") from error


def command(
    name: str, *, example: str, codes: str = "0 done; 1 an error, said in one line; 2 wrong usage"
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command with ``--json``, an example and its exit codes in the help."""

    def make(function: Callable[..., Any]) -> click.Command:
        lines = "\n".join(f"  {line}" for line in example.strip().splitlines())
        meanings = "\n".join(f"  {code}" for code in codes.split("; "))
        epilog = f"\b\nExample:\n{lines}\n\n\b\nExit codes:\n{meanings}"
        option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
        return click.command(name, epilog=epilog)(option(function))

    return make


def home_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--home``."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="INHABIT_HOME",
        callback=lambda _context, _option, home: home and home.expanduser(),
        help="Where events and generations live; by default $INHABIT_HOME, or "
        f"{_readable(default_home())}.",
    )(function)


def subject_option(
    text: str = "What the habit is about, such as meditate; need not be said if it is alone.",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--subject``."""
    return click.option("--subject", "-s", metavar="NAME", help=text)


def open_personalizer(home: Path | None, subject: str | None) -> Personalizer:
    """Open a home, with the only subject it has where none is named."""
    place = home or default_home()
    if not subject:
        subject = only_subject(place)
    elif (known := Personalizer.subjects(place)) and subject not in known:
        note(f"there is no event about {subject} yet, only about {', '.join(known)}")
    return Personalizer.open(subject=subject, path=place)


def every_subject(home: Path, subject: str | None) -> tuple[str, ...]:
    """Return the subject that is named, or all of a home; say how to name one if there is none."""
    return (subject,) if subject else Personalizer.subjects(home) or (only_subject(home),)


def only_subject(home: Path) -> str:
    """Return the only subject of a home, or say how to name one."""
    subjects = Personalizer.subjects(home)
    if len(subjects) == 1:
        return subjects[0]
    if not subjects:
        raise click.UsageError(
            "there is no event about a subject yet; say --subject, or record one: "
            "inhabit record habit_completed --subject meditate"
        )
    raise click.UsageError(f"say which with --subject: {', '.join(subjects)}")


def check_output(file: Path, *sources: Path | None) -> None:
    """Refuse a file that cannot be written or is what is read, before the work that it is for."""
    if not file.parent.is_dir():
        raise ConfigError(f"{file}: there is no folder {file.parent}")
    for source in sources:
        if source is not None and source.exists() and file.exists() and file.samefile(source):
            raise ConfigError(f"{file}: expected another file than the one that is read")


@contextlib.contextmanager
def written(file: Path) -> Iterator[TextIO]:
    """Open a file of text as `written_bytes` does."""
    with written_bytes(file) as out:
        text = io.TextIOWrapper(out, encoding="utf-8")
        try:
            yield text
        finally:
            text.detach()  # which flushes it; the file below is closed by whoever opened it


@contextlib.contextmanager
def written_bytes(file: Path) -> Iterator[BinaryIO]:
    """Open a file that is put in place when it is complete; ``-`` is the output.

    Until then, and for good if the work fails or is interrupted, what was there stays.
    """
    if str(file) == "-" or (file.exists() and not file.is_file()):  # a pipe, a device
        with click.open_file(str(file), "wb") as out:
            yield cast("BinaryIO", out)
        return
    target = file.resolve()  # a link stays a link
    try:
        with replacement(target) as partial, partial.open("wb") as out:
            if target.exists():
                shutil.copymode(target, partial)
            yield out
    except OSError as error:
        if error.filename is None and not isinstance(error, InhabitError):
            error.filename = str(file)
        raise


# --- output --------------------------------------------------------------------------------------


def counted(number: int, one: str, many: str | None = None) -> str:
    """Word a number of things."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def note(text: str) -> None:
    """Say something beside the result, in one line."""
    console(stderr=True).print(text, style="yellow", markup=False, soft_wrap=True)


def emit(data: Any, text: Any, *, as_json: bool) -> None:
    """Print a result: JSON for programs, ``text`` (str or anything rich can draw) for people."""
    if as_json:
        # As bytes, for JSON is UTF-8 wherever it goes.
        click.echo(msgspec.json.format(msgspec.json.encode(data, enc_hook=str), indent=2))
    else:
        console().print(text, soft_wrap=isinstance(text, str | Text))


def progress_bar(*, quiet: bool) -> Progress:
    """Return a progress bar on the error output, so that the output stays what was asked for."""
    stderr = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr,
        transient=True,
        disable=quiet or not stderr.is_terminal,
    )


def _readable(path: Path) -> str:
    home = str(Path.home())
    text = str(path)
    return f"~{text[len(home) :]}" if text.startswith(home) else text
