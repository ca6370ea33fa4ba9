"""The commands that learn and look back: import, train, replay, prior, demo."""

from __future__ import annotations

import contextlib
import functools
import math
import tempfile
from dataclasses import replace as replace_in
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from inhabit import importers, priors
from inhabit.cli._common import (
    DURATION,
    EXPIRED,
    NOT_DUE,
    check_output,
    command,
    console,
    counted,
    emit,
    every_subject,
    home_option,
    note,
    open_personalizer,
    progress_bar,
    subject_option,
    written,
    written_bytes,
)
from inhabit.events import EventLog, us_from_datetime
from inhabit.exceptions import CheckpointError, ConfigError
from inhabit.features import DEFAULT_FEATURES
from inhabit.importers.records import name_some
from inhabit.moments import US_PER_DAY, Schedule, Window
from inhabit.personalizer import default_home
from inhabit.samples import samples
from inhabit.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rich.progress import Progress, TaskID

    from inhabit._native import Prior
    from inhabit.demo import Life, Week
    from inhabit.evaluation import Summary
    from inhabit.events import EventColumns
    from inhabit.importers import BadRow, ImportReport, Record

__all__ = ["demo", "import_", "prior", "replay", "train"]

_BAD_ROWS_SHOWN: Final = 5

# --- import --------------------------------------------------------------------------------------


@command(
    "import",
    example="inhabit import events.csv\n"
    "inhabit import --loop-habits 'Loop Habits CSV.zip'\n"
    "inhabit import --git ~/src/project --subject coding",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True), required=False)
@click.option(
    "--loop-habits",
    type=click.Path(path_type=Path, exists=True),
    help="An export of Loop Habit Tracker: its zip file, folder, or Checkmarks.csv.",
)
@click.option(
    "--git",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A repository: every commit is a habit_completed.",
)
@click.option("--author", help="With --git: whose commits; by default yours, by user.email.")
@subject_option("With --git: what the commits are about; by default the name of the repository.")
@click.option("--user", help="Whose events to take from a FILE of several people.")
@click.option("--strict", is_flag=True, help="Keep nothing if a single row is bad.")
@home_option
def import_(
    *,
    file: Path | None,
    loop_habits: Path | None,
    git: Path | None,
    author: str | None,
    subject: str | None,
    user: str | None,
    strict: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Take in events from a file, from another app, or from git.

    FILE is CSV or JSON Lines, with the columns user, subject, occurred_at, kind, value (recorded_at
    and id if you like); times are ISO 8601 with offset. Importing the same file twice adds nothing.
    """
    records = _records(file, loop_habits, git, author=author, subject=subject)
    if subject is not None and git is None:
        raise click.UsageError("--subject goes with --git; other sources name theirs themselves")
    if user is not None and file is None:
        raise click.UsageError("--user goes with FILE; other sources are of one person")
    if user is None:
        user = "" if file is None else _only_person(file)
    place = home or default_home()
    with EventLog(place / "events.sqlite3") as log, progress_bar(quiet=as_json) as bar:
        task = bar.add_task("reading", total=None)
        report = importers.import_records(
            log,
            records,
            user=user,
            strict=strict,
            progress=lambda read: bar.update(task, completed=read),
        )
    _complain(report, and_more="; --json lists them")
    if report.others and not (report.added or report.known):
        raise click.UsageError(f"{file} holds no event of --user {user}")
    counts = {name: getattr(report, name) for name in ("read", "added", "known", "others", "bad")}
    bad = [{"line": row.line, "reason": row.reason} for row in report.bad_rows]
    text = f"{counted(report.added, 'new event')}, {report.known} known already"
    if report.others:
        text += f", {report.others} of others"
    if report.bad:
        text += f", {counted(report.bad, 'bad row')} left out"
    emit({**counts, "bad_rows": bad}, text, as_json=as_json)


def _only_person(file: Path) -> str:
    """Return whose events a file holds; ask if they are several people's, before any is taken."""
    rows = importers.read_file(file)
    users = sorted({row.user for row in rows if isinstance(row, importers.Record)})
    if len(users) > 1:
        raise click.UsageError(
            f"{file} holds the events of {len(users)} people; say whose to take with --user: "
            f"{name_some(users)}"
        )
    return users[0] if users else ""


def _records(
    file: Path | None,
    loop_habits: Path | None,
    git: Path | None,
    *,
    author: str | None = None,
    subject: str | None = None,
    called: str = "FILE",
) -> Iterable[Record | BadRow]:
    """Return the reader of the one source that was named; `called` is how a file is."""
    if sum(source is not None for source in (file, loop_habits, git)) != 1:
        raise click.UsageError(f"name one source: {called}, --loop-habits FILE or --git PATH")
    if author is not None and git is None:
        raise click.UsageError("--author goes with --git")
    if git is not None:
        return importers.read_git(git, author=author, subject=subject)
    if loop_habits is not None:
        return importers.read_loop_habits(loop_habits)
    assert file is not None
    return importers.read_file(file)


def _complain(report: ImportReport, *, and_more: str = "") -> None:
    """Say which rows were left out, the first few of them, and what there is to say of more."""
    stderr = console(stderr=True)
    for row in report.bad_rows[:_BAD_ROWS_SHOWN]:
        stderr.print(f"line {row.line}: {row.reason}", style="yellow", markup=False, soft_wrap=True)
    if (more := report.bad - _BAD_ROWS_SHOWN) > 0:
        stderr.print(f"... and {more} more{and_more}", style="yellow")


# --- train ---------------------------------------------------------------------------------------


@command(
    "train",
    example="inhabit train --if-due --deadline 25s    # from a timer, once an hour",
    codes="0 trained, or nothing new to learn; 1 an error, said in one line; 2 wrong usage; "
    f"{NOT_DUE} not due; {EXPIRED} out of time, goes on next time",
)
@subject_option("Which habit; by default all of them, one after the other.")
@click.option("--if-due", is_flag=True, help="Only if the device and the calendar agree.")
@click.option("--deadline", type=DURATION, help="Stop after this long, such as 25s.")
@home_option
def train(
    *,
    subject: str | None,
    if_due: bool,
    deadline: timedelta | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Learn from everything that has matured.

    What was learnt before stays in service until what is learnt now is on the disk, whole. If there
    are several habits and none is named, --json prints an object with one training for each.
    """
    place = home or default_home()
    names = every_subject(place, subject)
    end = None if deadline is None else monotonic() + deadline.total_seconds()
    trainings = {}
    with progress_bar(quiet=as_json) as bar:
        for name in names:
            left = None if end is None else timedelta(seconds=max(end - monotonic(), 0.0))
            with open_personalizer(place, name) as me:
                task = bar.add_task(f"learning {name}", total=None)
                learn = me.train_if_due if if_due else me.train
                trainings[name] = learn(deadline=left, progress=functools.partial(_show, bar, task))
    if len(names) == 1:
        emit(trainings[names[0]], str(trainings[names[0]]), as_json=as_json)
    else:
        lines = [f"{name}: {training}" for name, training in trainings.items()]
        emit(trainings, "\n".join(lines), as_json=as_json)
    outcomes = {training.outcome for training in trainings.values()}
    if "expired" in outcomes:
        click.get_current_context().exit(EXPIRED)
    if outcomes == {"not due"}:
        click.get_current_context().exit(NOT_DUE)


def _show(bar: Progress, task: TaskID, done: int, of: int) -> None:
    """Show on a progress bar how far something is."""
    bar.update(task, completed=done, total=of)


# --- replay --------------------------------------------------------------------------------------


def question_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what is predicted and when: ``--target --moments --window --missing --day-start``.

    The command gets them as the `Target` ``question`` and the `Schedule` ``schedule``.
    """

    @functools.wraps(function)
    def asked(
        *, target: str, moments: str, window: str, missing: Any, day_start: str, **more: Any
    ) -> Any:
        try:
            question = Target(kind=target, window=Window.parse(window), missing=missing)
            schedule = Schedule.parse(moments, day_start)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        return function(question=question, schedule=schedule, **more)

    with_options: Callable[..., Any] = asked
    for option in reversed(
        (
            click.option(
                "--target", default="habit_completed", show_default=True, help="Kind to predict."
            ),
            click.option(
                "--moments",
                metavar="TIMES",
                default="04:00",
                show_default=True,
                help="When it is predicted.",
            ),
            click.option(
                "--window",
                default="rest-of-day",
                show_default=True,
                help="next-moment, rest-of-day, next-day, or a duration such as 6h.",
            ),
            click.option(
                "--missing",
                type=click.Choice(["negative", "unknown"]),
                default="negative",
                show_default=True,
                help="What a window without the target means.",
            ),
            click.option(
                "--day-start",
                metavar="TIME",
                default="04:00",
                show_default=True,
                help="When days begin.",
            ),
        )
    ):
        with_options = option(with_options)
    return with_options


@command(
    "replay",
    example="inhabit replay events.csv --moments 04:00,15:00 --window next-moment\n"
    "inhabit replay events.csv --prior none --predictions out.csv",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@question_options
@click.option(
    "--prior", "prior_name", default="builtin", show_default=True, help="builtin, none, or a file."
)
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every prediction there, as CSV.",
)
@click.option("--strict", is_flag=True, help="Stop at the first bad row.")
def replay(
    *,
    file: Path,
    question: Target,
    schedule: Schedule,
    prior_name: str,
    predictions: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Evaluate honestly: predict first, then learn.

    Each moment in FILE is predicted from what was recorded before it. Each user and subject is a
    person of its own. The running base rate stands beside the model on the same rows; the first
    seven observations are learnt from, not scored. Log losses are of probabilities within
    [0.01, 0.99], the other scores of the probabilities as they are.

    --predictions writes user, subject, moment, window_end, probability (what was served), label
    (1, 0, or empty where unknown) and generation (of the personal network: its promotions so far).
    """
    from inhabit.evaluation import replay as run, write_csv  # noqa: I001, PLC0415 - slow to import

    prior = _prior(prior_name)
    people, report = importers.collect(importers.read_file(file), strict=strict)
    _complain(report)
    _doubt(file, people, question)
    with contextlib.ExitStack() as stack:
        # Opened before the long work, so that a bad path is known at once; put in place after it.
        out = None
        if predictions is not None:
            check_output(predictions, file)
            out = stack.enter_context(written(predictions))
        bar = stack.enter_context(progress_bar(quiet=as_json))
        task = bar.add_task("replaying", total=None)
        told = run(
            people,
            question,
            schedule,
            prior=prior,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
        if out is not None:
            write_csv(told, out)
    summary = told.summary()
    if not summary.scored:
        note("nothing is scored: nobody has more than seven observations known in time")
    emit(summary, _summary_table(summary), as_json=as_json)


def _prior(name: str) -> Prior | None:
    if name == "none":
        return None
    try:
        return priors.prior_for(priors.read(name), DEFAULT_FEATURES)
    except CheckpointError as error:
        said = str(error).removeprefix("prior: ")
        raise ConfigError(f"--prior {name}: {said}; make one with inhabit prior --out") from error


def _doubt(file: Path, people: Mapping[str, EventColumns], question: Target) -> None:
    """Say what in a file is probably not meant so."""
    if not people:
        raise ConfigError(f"{file}: there is no event in it")
    kinds = sorted({kind for events in people.values() for kind in events.kinds})
    if question.kind not in kinds:
        note(f"there is no {question.kind} in {file}, only {', '.join(kinds)}; see --target")
    late = sum(
        int(np.count_nonzero(events.recorded_at_us - events.occurred_at_us > 7 * US_PER_DAY))
        for events in people.values()
    )
    if late:
        note(
            f"{late} events were recorded more than a week after they happened: a prediction may "
            "only use them from then on. If that is the day of an import, leave out recorded_at"
        )
    tomorrow_us = us_from_datetime(datetime.now(UTC)) + US_PER_DAY
    ahead = sum(
        int(np.count_nonzero(events.occurred_at_us > tomorrow_us)) for events in people.values()
    )
    if ahead:
        note(
            f"{counted(ahead, 'event')} of the future: a slip of the year? All days until then are "
            "predicted, too"
        )


def _summary_table(summary: Summary) -> Table:
    """Word the summary: the model beside the base rate."""
    title = (
        f"{counted(summary.people, 'person', 'people')}, "
        f"{counted(summary.rows, 'moment')}, {summary.scored} scored, "
        f"{_number(100 * summary.positive_rate, 0)} % positive"
    )
    caption = "log losses of probabilities within [0.01, 0.99]"
    table = Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    table.add_column("inhabit", justify="right", style="bold")
    table.add_column("running base rate", justify="right")
    for name, label in (
        ("log_loss", "log loss"),
        ("log_loss_people", "log loss, mean of people"),
        ("brier", "Brier score"),
        ("auc", "AUC"),
        ("auc_within", "AUC within a person"),
        ("calibration_error", "calibration error"),
    ):
        ours, base = getattr(summary.model, name), getattr(summary.base_rate, name)
        table.add_row(label, _number(ours), _number(base))
    table.add_section()
    for part in summary.by_history:
        span = f"{part.least} to {part.most}" if part.most else f"{part.least} and more"
        label = f"log loss after {span} observations"
        table.add_row(label, _number(part.log_loss), _number(part.base_rate_log_loss))
    return table


def _number(value: float, digits: int = 4) -> str:
    """Word a figure that there may not be."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


# --- prior ---------------------------------------------------------------------------------------


@command(
    "prior",
    example="inhabit prior --out teeth.safetensors people.csv --moments 04:00,15:00\n"
    "inhabit prior    # what the one that comes with the package was made of",
)
@click.argument("files", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1)
@question_options
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the prior that is learnt from FILES.",
)
def prior(
    *,
    files: tuple[Path, ...],
    question: Target,
    schedule: Schedule,
    out: Path | None,
    as_json: bool,
) -> None:
    """Learn from many people what to expect of others.

    FILES hold their events; without any, the prior of the package is described. Give it to others
    as `prior = "FILE"` in their config.toml, or with --prior FILE.
    """
    if not files:
        manifest = priors.read().manifest
        text = (
            f"the built-in prior: {', '.join(f'{n} {what}' for what, n in manifest.counts.items())}"
        )
        emit(manifest, text, as_json=as_json)
        return
    if out is None:
        raise click.UsageError("say where to write the prior with --out FILE")
    check_output(out, *files)
    from inhabit.empirical_bayes import train_prior  # noqa: PLC0415
    from inhabit.evaluation import subjects_of  # noqa: PLC0415 - slow to import

    tables = []
    for file in files:
        people, report = importers.collect(importers.read_file(file))
        _complain(report)
        _doubt(file, people, question)
        tables += [
            samples(events, replace_in(question, subject=subject), schedule)
            for events in people.values()
            for subject in subjects_of(events, question)
        ]
    with progress_bar(quiet=as_json) as bar:
        task = bar.add_task("learning from many", total=None)
        learnt = train_prior(
            tables,
            start=priors.read(),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    labels = [int((table.matured_label >= 0).sum()) for table in tables]
    counts = {"people": sum(own > 0 for own in labels), "labels": sum(labels)}
    with written_bytes(out) as whole:
        whole.write(priors.pack(learnt, DEFAULT_FEATURES, counts=counts).data)
    text = (
        f"learnt from {counted(counts['people'], 'person', 'people')} and "
        f"{counted(counts['labels'], 'label')}; wrote {out}"
    )
    emit({"file": out, **counts}, text, as_json=as_json)


# --- demo ----------------------------------------------------------------------------------------


@command("demo", example="inhabit demo\ninhabit demo --git . --report commits.html")
@click.option(
    "--days",
    type=click.IntRange(14, 3660),
    default=365,
    show_default=True,
    help="How long the simulated person lives.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Another simulated person.")
@click.option(
    "--events", type=click.Path(path_type=Path, exists=True), help="Real events: CSV or JSON Lines."
)
@click.option("--loop-habits", type=click.Path(path_type=Path, exists=True), help="... or these.")
@click.option("--git", type=click.Path(path_type=Path, exists=True), help="... or these commits.")
@click.option("--author", help="With --git: whose commits; by default yours.")
@subject_option()
@click.option("--user", help="Whose events, in a file of several people.")
@click.option("--prior", help="builtin, none, or a file.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default="build/demo.html",
    show_default=True,
    help="Where the report goes.",
)
@click.option("--open", "open_it", is_flag=True, help="Show the report in the browser.")
def demo(
    *,
    days: int,
    seed: int,
    events: Path | None,
    loop_habits: Path | None,
    git: Path | None,
    author: str | None,
    subject: str | None,
    user: str | None,
    prior: str | None,
    report: Path,
    open_it: bool,
    as_json: bool,
) -> None:
    """Live a person's year in seconds, and write a report.

    With a real log, real trainings, real generations. The person is simulated, unless you give real
    events. Nothing of your own home is touched.
    """
    from inhabit.demo import RecordedLife, SimulatedLife, live  # noqa: PLC0415 - slow to import
    from inhabit.report import render  # noqa: PLC0415
    from inhabit.settings import Settings  # noqa: PLC0415

    settings = Settings().changed(prior=prior)
    if prior is not None:
        _prior(prior)
    life: Life
    if events or loop_habits or git or author or subject or user:  # of real events alone
        records = _records(
            events, loop_habits, git, author=author, subject=subject, called="--events FILE"
        )
        people, read = importers.collect(records)
        _complain(read)
        columns = people[_one_of("--user", user, list(people))]
        about = _one_of("--subject", subject, [name for name in columns.subjects if name])
        life = RecordedLife(columns, about, settings)
    else:
        life = SimulatedLife(days=days, seed=seed)
    report.parent.mkdir(parents=True, exist_ok=True)
    check_output(report, events, loop_habits)
    with tempfile.TemporaryDirectory(prefix="inhabit-") as home, progress_bar(quiet=as_json) as bar:
        task = bar.add_task(f"living with {life.subject}", total=life.days)
        story, weeks = live(
            life,
            Path(home),
            settings,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    if not as_json:  # before the report, which needs more than the package itself
        console().print(life.note, style="italic")
        console().print(_week_table(weeks))
    with written(report) as out:
        out.write(render(story))
    figures = ", ".join(f"{name} {value}" for name, value in story.figures.items())
    emit({"report": report, **story.figures}, f"{figures}\nreport: {report}", as_json=as_json)
    if open_it:
        click.launch(str(report))


def _one_of(option: str, chosen: str | None, names: list[str]) -> str:
    """Return the one that was chosen, or the only one there is."""
    if chosen is not None:
        if chosen not in names:
            raise ConfigError(
                f"{option}: there is no {chosen!r}, only {', '.join(names) or 'none'}"
            )
        return chosen
    if len(names) != 1:
        raise ConfigError(f"say which with {option}: {', '.join(names) or 'there is none'}")
    return names[0]


def _week_table(weeks: list[Week]) -> Table:
    from inhabit.demo import HEADER  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in HEADER:
        table.add_column(name, justify="left" if name == HEADER[0] else "right", no_wrap=True)
    for week in weeks:
        better = week.log_loss < week.base_rate
        cells = week.cells()
        cells[-2] = f"[green]{cells[-2]}[/]" if better else cells[-2]
        table.add_row(*cells)
    return table
