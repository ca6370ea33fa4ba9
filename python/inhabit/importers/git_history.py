"""Git history: every commit of a person is something they did, with a local time.

A developer's own repositories hold a real and private log of "will I commit
today?". A commit becomes a `HABIT_COMPLETED` at its author date, which a rebase
keeps (the committer date is when history was last rewritten). It counts as
known from then on: the author knew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inhabit.events import HABIT_COMPLETED, EventRow
from inhabit.exceptions import EventError, ImportFailure
from inhabit.importers.records import BadRow, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMAT: Final = "%H %aI"


def read_git(
    path: str | os.PathLike[str],
    *,
    author: str | None = None,
    subject: str | None = None,
    user: str = "",
) -> Iterator[Record | BadRow]:
    """Read the commits of one person that are reachable from HEAD.

    Parameters
    ----------
    path : str or path-like
        A folder inside the repository, or a bare repository.
    author : str, optional
        Whose commits: a pattern for "Name <email>", as of ``git log --author``.
        By default the e-mail address in the repository's configuration.
    subject : str, optional
        What the events are about; by default the name of the repository's folder.
    user : str, default ""
        Whose events these are.

    Yields
    ------
    Record or BadRow
        One for each commit, newest first; the line is its place in that order.

    Raises
    ------
    ImportFailure
        If git is not installed, this is no repository, it has no commits, or
        none by that author.
    """
    program = shutil.which("git")
    if program is None:
        raise ImportFailure("the program git was not found: install it, or check the PATH")
    git = [program, "--no-pager", "-C", os.fspath(path)]
    if subject is None:
        subject = _repository_name(git)
    command = [*git, "log", f"--format={_FORMAT}", "--no-show-signature"]
    if author is None:
        command.append("--fixed-strings")  # an address, no pattern
        author = _ask([*git, "config", "user.email"], accept_failure=True)
        if not author:
            raise ImportFailure(
                f"{path} does not say who you are: name an author (--author). {_who(git)}"
            )
    number = 0
    with subprocess.Popen(  # noqa: S603  (a list, no shell; the program is git)
        [*command, f"--author={author}", "HEAD", "--"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for number, line in enumerate(process.stdout, start=1):
                yield _commit(number, line, subject, user)
            complaint = process.stderr.read()
        finally:
            process.terminate()  # if the reader of this generator has had enough
    if process.returncode and complaint:
        raise ImportFailure(f"{path}: {_first_line(complaint)}")
    if number == 0:
        raise ImportFailure(f"{path} has no commits by an author like {author!r}. {_who(git)}")


def _commit(number: int, line: str, subject: str, user: str) -> Record | BadRow:
    commit, _, written = line.strip().partition(" ")
    try:
        time = datetime.fromisoformat(written)
        row = EventRow.checked(
            HABIT_COMPLETED, time, subject=subject, id=f"git {commit} {subject}"[:256]
        )
    except (EventError, ValueError) as error:
        return BadRow(number, f"commit {commit[:12]}: {error}")
    return Record(number, user, row)


def _repository_name(git: list[str]) -> str:
    folder = Path(_ask([*git, "rev-parse", "--absolute-git-dir"]))
    # .git of a work tree, .git/modules/NAME of a submodule, NAME.git of a bare one
    return folder.parent.name if folder.name == ".git" else folder.name.removesuffix(".git")


def _who(git: list[str]) -> str:
    """Name the most frequent authors, as help for choosing one."""
    lines = _ask([*git, "shortlog", "-sne", "HEAD", "--"], accept_failure=True).splitlines()
    names = [line.partition("\t")[2] for line in lines[:3]]
    return f"Its most frequent authors: {', '.join(names)}" if names else "It has no commits"


def _ask(command: list[str], *, accept_failure: bool = False) -> str:
    done = subprocess.run(  # noqa: S603  (a list, no shell; the program is git)
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
        check=False,
    )
    if done.returncode and not accept_failure:
        raise ImportFailure(_first_line(done.stderr))
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Environment for a git that only reads: no locks, no questions, no network, plain English."""
    return {
        **os.environ,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
