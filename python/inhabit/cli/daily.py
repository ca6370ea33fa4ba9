"""The commands of every day: record, predict, decide, status, forget, export."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from inhabit.cli._common import (
    INSTANT,
    check_output,
    command,
    counted,
    emit,
    every_subject,
    home_option,
    note,
    only_subject,
    open_personalizer,
    subject_option,
    written,
)
from inhabit.events import EventLog
from inhabit.exceptions import ConfigError
from inhabit.importers import write_csv, write_jsonl
from inhabit.personalizer import Personalizer, default_home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inhabit.decisions import Decision
    from inhabit.personalizer import Status

__all__ = ["decide", "export", "forget", "predict", "record", "status"]

_DECISION_CODES: Final = {"remind": 0, "wait": 10, "suppress": 11}
_STYLES: Final = {"remind": "bold yellow", "wait": "bold", "suppress": "bold green"}


@command("record", example="inhabit record habit_completed --subject meditate")
@click.argument("kind")
@subject_option()
@click.option(
    "--at",
    type=INSTANT,
    help="When it happened; by default now. Predictions know of it "
    "from now on; for a history, import a file.",
)
@click.option("--value", type=float, help="An amount, if the kind has one.")
@home_option
def record(
    *,
    kind: str,
    subject: str | None,
    at: datetime | None,
    value: float | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Keep an event of KIND for good.

    Known kinds are app_opened, reminder_sent, reminder_tapped, habit_completed and habit_skipped;
    any other name is welcome. For what concerns all habits, such as app_opened, say --subject "".
    """
    place = home or default_home()
    about = only_subject(place) if subject is None else subject
    if at is not None and at > datetime.now(UTC) + timedelta(minutes=1):
        raise click.UsageError(
            f"--at {at.isoformat()} lies in the future; record what has happened"
        )
    with EventLog(place / "events.sqlite3") as log:
        known = log.subjects()
        event = log.record(kind, about, occurred_at=at, value=value)
        data = {
            "kind": event.kind,
            "subject": event.subject,
            "occurred_at": event.occurred_at,
            "id": event.id,
        }
        when = f"{event.occurred_at:%Y-%m-%d %H:%M}"
        emit(data, f"recorded {event.kind}{about and f' of {about}'} at {when}", as_json=as_json)
        if about and known and about not in known:
            slip = f"inhabit forget {event.id}"
            note(f"{about} is new, beside {', '.join(known)}; if that was a slip: {slip}")


@command("predict", example="inhabit predict --subject meditate")
@subject_option()
@click.option("--at", type=INSTANT, help="As of this time, with today's model.")
@click.option(
    "--explain",
    is_flag=True,
    help="Say what moves the prediction, and by how much; nothing moves what is known already.",
)
@home_option
def predict(
    *,
    subject: str | None,
    at: datetime | None,
    explain: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Say how likely the habit is, as a calibrated probability."""
    with open_personalizer(home, subject) as me:
        now = at or me.now()
        data: dict[str, Any] = {
            "subject": me.subject,
            "probability": me.predict(now),
            "known": me.known(now),
            "generation": me.generation,
        }
        answer = f"{100 * data['probability']:.0f} % likely"
        if data["known"] is not None:
            answer = "it has happened already" if data["known"] else "skipped by the person"
        lines = [f"{answer}: {me.subject}, {me.question(at)}"]
        if explain:
            data["reasons"] = me.explain(now) if data["known"] is None else {}
        if data.get("reasons"):
            lines.append("against an average moment, in percentage points:")
            lines += [
                f"  {100 * effect:+5.1f}  {name.replace('_', ' ')}"
                for name, effect in sorted(data["reasons"].items(), key=lambda item: -abs(item[1]))
            ]
        emit(data, "\n".join(lines), as_json=as_json)


@command(
    "decide",
    example="inhabit decide --subject meditate --exit-code && notify-send 'Time to meditate'",
    codes="0 done; 1 an error, said in one line; 2 wrong usage; "
    "with --exit-code: 0 remind, 10 wait, 11 suppress",
)
@subject_option()
@click.option("--at", type=INSTANT, help="As of this time, with today's model.")
@click.option("--dry-run", is_flag=True, help="Do not keep it; with --at it is never kept.")
@click.option("--exit-code", is_flag=True, help="Let the exit code say what was decided.")
@home_option
def decide(
    *,
    subject: str | None,
    at: datetime | None,
    dry_run: bool,
    exit_code: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Decide whether to remind now, wait, or suppress.

    The decision is kept, with its reasons.
    """
    with open_personalizer(home, subject) as me:
        decision = me.decide(at, store=False if dry_run else None)
        emit(decision, _worded(decision), as_json=as_json)
    if exit_code:
        click.get_current_context().exit(_DECISION_CODES[decision.action])


def _worded(decision: Decision) -> Text:
    text = Text(decision.action, style=_STYLES[decision.action])
    return text.append(f"  {'; '.join(decision.reasons)}", style="default not bold")


@command("status", example="inhabit status")
@subject_option()
@home_option
def status(*, subject: str | None, home: Path | None, as_json: bool) -> None:
    """Say what is known, how well it predicts, and what is due.

    If there are several habits and none is named, a line for each; --json prints an object with one
    status for each.
    """
    place = home or default_home()
    names = every_subject(place, subject)
    found = {}
    for name in names:
        with open_personalizer(place, name) as me:
            found[name] = me.status()
    if len(names) == 1:
        emit(found[names[0]], _status_table(found[names[0]]), as_json=as_json)
    else:
        emit(found, _habits_table(found), as_json=as_json)


def _status_table(now: Status) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    for name, value in now.lines():
        table.add_row(name, value)
    return table


def _habits_table(found: Mapping[str, Status]) -> Table:
    """Word the most of several statuses, a line for each."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption="more of one: inhabit status --subject")
    table.add_column("")
    for name in ("labels", "new", "log loss", "base rate", "reminders"):
        table.add_column(name, justify="right")
    table.add_column("last training")
    for name, now in found.items():
        scores = [now.metrics.get(score) for score in ("log_loss", "base_rate_log_loss")]
        table.add_row(
            name,
            f"{now.samples}",
            f"{now.new_samples}",
            *("-" if score is None else f"{score:.3f}" for score in scores),
            f"{now.decisions.get('remind', 0)}",
            "never" if now.last_training is None else f"{now.last_training:%Y-%m-%d %H:%M}",
        )
    return table


@command(
    "forget",
    example="inhabit forget --since 2026-03-01 --until 2026-03-08 --subject meditate",
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@subject_option()
@click.option("--since", type=INSTANT, help="Events from this time on ...")
@click.option("--until", type=INSTANT, help="... and before this time.")
@click.option("--all", "everything", is_flag=True, help="Everything, of all subjects.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
def forget(
    *,
    ids: tuple[str, ...],
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
    yes: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Forget events, and all that was learnt from them, exactly.

    The rows, every generation that knew them and what SQLite left of them are gone; what remains is
    learnt again, and gives the same bytes as if the events had never been.
    """
    if bool(ids) + (since is not None or until is not None) + everything != 1:
        raise click.UsageError("say what to forget: some IDs, --since and --until, or --all")
    if since is not None and until is not None and since >= until:
        raise click.UsageError(f"--since {since.isoformat()} is not before --until")
    if everything and subject:
        raise click.UsageError(
            f"--all is of all subjects; to forget {subject}: --subject {subject} --since 1970-01-01"
        )
    if subject == "" and not (ids or everything):
        raise click.UsageError(
            "what concerns all subjects is forgotten by the IDs of its events (inhabit export "
            "writes them), or with --all"
        )
    place = home or default_home()
    if not subject and (everything or ids) and (place / "events.sqlite3").exists():
        subject = next(iter(Personalizer.subjects(place)), "any")  # any will do
    with open_personalizer(place, subject) as me:
        if not yes:
            what = f"{me.subject}{_span(since, until)}"
            if everything or ids:
                what = "everything" if everything else counted(len(ids), "event")
            click.confirm(f"Forget {what}? This cannot be undone.", abort=True, err=True)
        gone = me.forget(ids=ids or None, since=since, until=until, everything=everything)
        text = (
            f"forgot {counted(gone.events, 'event')} and blanked or removed "
            f"{counted(gone.decisions, 'decision')}"
        )
        emit(gone._asdict(), text, as_json=as_json)


def _span(since: datetime | None, until: datetime | None) -> str:
    """Word a range of time as it was given."""
    ends = (("since", since), ("until", until))
    return "".join(f" {word} {end:%Y-%m-%d %H:%M}" for word, end in ends if end is not None)


@command("export", example="inhabit export meditate.csv --subject meditate")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@subject_option("Only this habit, and what concerns all; by default all events.")
@click.option(
    "--what",
    type=click.Choice(["events", "weights", "backup"]),
    default="events",
    show_default=True,
    help="Events as CSV (or JSON Lines, by the ending .jsonl); the network's weights as JSON for "
    "Swift's Codable; or a whole copy of the database.",
)
@home_option
def export(
    *,
    file: Path,
    subject: str | None,
    what: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Write what is known to a file, which is yours.

    If FILE is -, to the output.
    """
    place = home or default_home()
    to_output = str(file) == "-"
    database = place / "events.sqlite3"
    check_output(file, *(Path(f"{database}{ending}") for ending in ("", "-wal", "-shm")))
    if what == "weights":
        with open_personalizer(place, subject) as me:
            rows, weights = 1, me.weights_json()
        with written(file) as out:
            out.write(weights + "\n")
    else:
        if what == "backup" and to_output:
            raise click.UsageError("a backup is a database: name a FILE")
        if what == "backup" and subject is not None:
            raise click.UsageError("a backup is of all subjects; leave out --subject")
        rows = _export_events(database, file, subject, backup=what == "backup")
    if not to_output:
        emit({"file": file, "rows": rows}, f"wrote {what} to {file}", as_json=as_json)


def _export_events(database: Path, file: Path, subject: str | None, *, backup: bool) -> int:
    """Write the events of a log; return how many."""
    if not database.exists():
        raise ConfigError(f"there is nothing to export: no events in {database.parent} yet")
    with EventLog(database) as log:
        if backup:
            log.backup(file)
            return log.count()
        if subject and subject not in (known := log.subjects()):
            raise ConfigError(
                f"--subject: there is no {subject!r}, only {', '.join(known) or 'none'}"
            )
        events = log.columns(subject)
        with written(file) as out:
            (write_jsonl if file.suffix == ".jsonl" else write_csv)(out, events)
        return len(events)
