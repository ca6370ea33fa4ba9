"""Four public data sets as neutral event CSV, for eight prediction tasks.

    python benches/convert.py --data ../shared/data --out build/quality/events [--check]

Every task becomes one ``<task>.csv`` (``user,subject,occurred_at,kind,value``) and one row of
``tasks.json`` with the options with which ``inhabit replay`` meets exactly the steps of the task:
their order, their labels, and which of them are unknown. A step with ground truth holds one
``habit_completed`` or ``habit_skipped`` inside its window; a step without ground truth holds none,
and replays run with ``--missing unknown``. What is known at a moment (HeartSteps) is recorded one
second before it as events with a value.

Times are nominal local times without an offset of their own (``+00:00``): a step of slot *k* starts
at the *k*-th time of the task's schedule, so travel and daylight saving cannot reorder steps.
ROBAS 2 has no dates: day 1 is the Monday or Tuesday of a fixed week that gives the recorded weekend
flags. ``--check`` compares every step with ``labels_<task>.csv`` (label, order, date, slot, the
running base rate, and whether the step is scored) and fails on the first difference.
"""

import argparse
import csv
import gzip
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path

Row = Mapping[str, str]
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Step:
    """One moment of one person: what is known before it, and its outcome (None: unknown)."""

    user: str
    day: date
    slot: int
    label: int | None
    context: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One prediction task: how to read its steps, and how `inhabit replay` must be called.

    ``warm_up`` steps are not scored; people with fewer than ``min_steps`` known steps or fewer than
    ``min_positives`` positive ones are left out. ``slot_names`` are the slots as the label file
    writes them.
    """

    name: str
    folder: str
    read: Callable[[Path], Iterable[Step]]
    moments: tuple[time, ...] = (time(4),)
    slot_names: tuple[int, ...] = (0,)
    warm_up: int = 7
    min_steps: int = 0
    min_positives: int = 0

    @property
    def labels_file(self) -> str:
        return f"{self.folder}/labels_{self.name}.csv"

    def replay_options(self) -> dict[str, str]:
        """The options of `inhabit replay` that give this task's steps."""
        return {
            "--target": "habit_completed",
            "--moments": ",".join(f"{at:%H:%M}" for at in self.moments),
            "--window": "next-moment",
            "--missing": "unknown",
        }

    def people(self, data: Path, *, everyone: bool = False) -> dict[str, list[Step]]:
        """Steps by person, in time order, of the people with enough of them."""
        steps = sorted(self.read(data / self.folder), key=lambda s: (s.user, s.day, s.slot))
        people = {user: list(own) for user, own in groupby(steps, key=lambda s: s.user)}
        return {user: own for user, own in people.items() if everyone or self._enough(own)}

    def _enough(self, steps: Sequence[Step]) -> bool:
        labels = [step.label for step in steps if step.label is not None]
        return len(labels) >= self.min_steps and sum(labels) >= self.min_positives


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file, gzipped or not."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
        yield from csv.DictReader(file)


def calendar(first: date, last: date) -> Iterator[date]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(ordinal)


# --- ROBAS 2: brushed or not, morning and evening ---------------------------------------------

MONDAY = date(2020, 1, 6)


def first_day(weekend: Sequence[bool]) -> date:
    """A date whose following days fall on weekends exactly where ``weekend`` says."""
    for shift in range(7):
        start = MONDAY + timedelta(days=shift)
        flags = [(start + timedelta(days=k)).weekday() >= 5 for k in range(len(weekend))]
        if flags == list(weekend):
            return start
    raise ValueError(f"no calendar has these weekend flags: {weekend}")


def robas2_sessions(folder: Path) -> Iterator[Step]:
    rows = sorted(
        read_rows(folder / "sessions.csv"),
        key=lambda row: (row["user"], int(row["day"]), int(row["tod"])),
    )
    for user, group in groupby(rows, key=itemgetter("user")):
        own = list(group)
        weekend = {int(row["day"]): row["is_weekend"] == "1" for row in own}
        start = first_day([weekend[day] for day in sorted(weekend)])
        for row in own:
            day = start + timedelta(days=int(row["day"]) - min(weekend))
            yield Step(user, day, int(row["tod"]), int(float(row["duration_s"]) > 0))


def robas2_days(folder: Path) -> Iterator[Step]:
    for (user, day), sessions in groupby(robas2_sessions(folder), key=lambda s: (s.user, s.day)):
        yield Step(user, day, 0, int(all(session.label for session in sessions)))


# --- Fitbit: steps of a worn day ---------------------------------------------------------------


def fitbit_worn_days(folder: Path) -> dict[str, list[tuple[date, int]]]:
    """(day, steps) of the days with 24 hourly rows and at least 500 steps, by person."""
    hourly: dict[tuple[str, str], list[int]] = {}
    for row in read_rows(folder / "hourly_steps.csv.gz"):
        hourly.setdefault((row["user"], row["hour"][:10]), []).append(int(row["steps"]))
    worn: dict[str, list[tuple[date, int]]] = {}
    for (user, day), steps in sorted(hourly.items()):
        if len(steps) == 24 and sum(steps) >= 500:
            worn.setdefault(user, []).append((date.fromisoformat(day), sum(steps)))
    return worn


def fitbit(goal: Callable[[Sequence[int]], float]) -> Callable[[Path], Iterator[Step]]:
    """Did a worn day reach the goal? ``goal`` sees the person's worn days in order."""

    def read(folder: Path) -> Iterator[Step]:
        for user, days in fitbit_worn_days(folder).items():
            bar = goal([steps for _, steps in days])
            known = {day: int(steps >= bar) for day, steps in days}
            for day in calendar(days[0][0], days[-1][0]):
                yield Step(user, day, 0, known.get(day))

    return read


# --- LifeSnaps: exercise and survey, by day ----------------------------------------------------


def lifesnaps_days(folder: Path) -> Iterator[tuple[str, dict[date, Row]]]:
    rows = sorted(read_rows(folder / "daily.csv"), key=itemgetter("user", "date"))
    for user, group in groupby(rows, key=itemgetter("user")):
        yield user, {date.fromisoformat(row["date"]): row for row in group}


def lifesnaps_exercise(folder: Path) -> Iterator[Step]:
    for user, rows in lifesnaps_days(folder):
        known = {day: int(bool(row["activity_types"])) for day, row in rows.items() if row["steps"]}
        for day in calendar(min(known), max(known)) if known else ():
            yield Step(user, day, 0, known.get(day))


def lifesnaps_survey(folder: Path) -> Iterator[Step]:
    for user, rows in lifesnaps_days(folder):
        answered = {day for day, row in rows.items() if row["ema_answered"] == "1"}
        for day in calendar(min(answered), max(rows)) if answered else ():
            yield Step(user, day, 0, int(day in answered))


# --- HeartSteps: decision points with their context --------------------------------------------


def heartsteps_context(row: Row, *, sent: int, earlier: int) -> dict[str, float]:
    """What is known at a decision point, after ``earlier`` available ones with ``sent`` sends."""
    context = {
        "at_home": float(row["location"] == "home"),
        "at_work": float(row["location"] == "work"),
        "still": float(row["activity_recognised"] == "STILL"),
        "in_vehicle": float(row["activity_recognised"] == "IN_VEHICLE"),
        "on_foot": float(row["activity_recognised"] == "ON_FOOT"),
        "send_share": (sent + 1) / (earlier + 2),
    }
    measured = {
        "in_transit": "in_transit",
        "temperature_c": "temperature_c",
        "steps_60min_before": "jbsteps60pre",
    }
    return context | {kind: float(row[name]) for kind, name in measured.items() if row[name]}


def heartsteps(
    label: Callable[[Row], int | None], extra: Callable[[Row], dict[str, float]]
) -> Callable[[Path], Iterator[Step]]:
    """Decision points as steps; ``extra`` is the context that only this task may use."""

    def read(folder: Path) -> Iterator[Step]:
        rows = sorted(
            read_rows(folder / "decisions.csv.gz"),
            key=lambda row: (row["user"], row["date_local"], int(row["slot"])),
        )
        for user, points in groupby(rows, key=itemgetter("user")):
            sent = earlier = 0
            for row in points:
                outcome = label(row)
                context = {}
                if outcome is not None:
                    context = heartsteps_context(row, sent=sent, earlier=earlier) | extra(row)
                day = date.fromisoformat(row["date_local"])
                yield Step(user, day, int(row["slot"]) - 1, outcome, context)
                if row["avail"] == "1":
                    earlier += 1
                    sent += is_sent(row)

    return read


def is_sent(row: Row) -> bool:
    return row["send"] in {"1", "1.0"}


def responded(row: Row) -> int | None:
    return int(row["response"] in {"good", "bad"}) if is_sent(row) else None


def walked(row: Row) -> int | None:
    if row["avail"] != "1" or not row["jbsteps30"]:
        return None
    return int(float(row["jbsteps30"]) >= 100)


def message_kind(row: Row) -> dict[str, float]:
    return {"message_active": float(row["send_active"] or 0)}


HEARTSTEPS_SLOTS = (time(8), time(12), time(14, 30), time(17, 30), time(20))

TASKS = {
    task.name: task
    for task in (
        Task(
            "heartsteps_response",
            "heartsteps_v1",
            heartsteps(responded, message_kind),
            moments=HEARTSTEPS_SLOTS,
            slot_names=(1, 2, 3, 4, 5),
        ),
        Task(
            "heartsteps_walk30",
            "heartsteps_v1",
            heartsteps(walked, lambda row: message_kind(row) | {"send": float(is_sent(row))}),
            moments=HEARTSTEPS_SLOTS,
            slot_names=(1, 2, 3, 4, 5),
        ),
        Task(
            "robas2_session",
            "robas2",
            robas2_sessions,
            moments=(time(4), time(15)),
            slot_names=(0, 1),
        ),
        Task("robas2_day_both", "robas2", robas2_days),
        Task(
            "fitbit_personal_goal",
            "fitbit_mobius",
            fitbit(lambda steps: statistics.median(steps[:10])),
            warm_up=10,
            min_steps=20,
        ),
        Task("fitbit_10k", "fitbit_mobius", fitbit(lambda _: 10_000), warm_up=10, min_steps=20),
        Task("lifesnaps_exercise", "lifesnaps_daily", lifesnaps_exercise, min_steps=30),
        Task("lifesnaps_ema", "lifesnaps_daily", lifesnaps_survey, min_positives=10),
    )
}


# --- Events ------------------------------------------------------------------------------------


def events(task: Task, steps: Iterable[Step]) -> Iterator[tuple[str, str, str, str, str]]:
    """Rows of the neutral CSV: context a second before the moment, the outcome a second before
    the next moment."""
    for step in steps:
        at, end = window(task, step)
        before, after = (f"{(t - SECOND).isoformat()}+00:00" for t in (at, end))
        for kind, value in step.context.items():
            yield step.user, task.name, before, kind, repr(value)
        if step.label is not None:
            kind = "habit_completed" if step.label else "habit_skipped"
            yield step.user, task.name, after, kind, ""


def window(task: Task, step: Step) -> tuple[datetime, datetime]:
    """The step's moment and the next one, local time."""
    at = datetime.combine(step.day, task.moments[step.slot])
    if step.slot + 1 < len(task.moments):
        return at, datetime.combine(step.day, task.moments[step.slot + 1])
    return at, datetime.combine(step.day + timedelta(days=1), task.moments[0])


def write_events(task: Task, people: Mapping[str, Sequence[Step]], path: Path) -> int:
    """Write the neutral CSV of one task; return how many events it holds."""
    rows = [row for steps in people.values() for row in events(task, steps)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["user", "subject", "occurred_at", "kind", "value"])
        writer.writerows(rows)
    return len(rows)


# --- Check -------------------------------------------------------------------------------------


def label_rows(task: Task, people: Mapping[str, Sequence[Step]]) -> Iterator[dict[str, str]]:
    """The rows that ``labels_<task>.csv`` should hold, as far as steps determine them."""
    for user, steps in people.items():
        positives = known = 0
        for step in steps:
            if step.label is None:
                continue
            yield {
                "user": user,
                "y": str(step.label),
                "base": f"{(positives + 1) / (known + 2):.5f}",
                "date": step.day.isoformat(),
                "slot": str(task.slot_names[step.slot]),
                "scored": str(int(known >= task.warm_up)),
            }
            positives += step.label
            known += 1


def differences(
    task: Task, people: Mapping[str, Sequence[Step]], expected: Iterable[Row]
) -> Iterator[str]:
    """Every way in which the steps differ from the label file, in words.

    The label file of ROBAS 2 has day numbers instead of dates; they are compared with the days
    since the person's first.
    """
    own: dict[str, list[dict[str, str]]] = {}
    for row in label_rows(task, people):
        own.setdefault(row["user"], []).append(row)
    theirs: dict[str, list[Row]] = {}
    for row in expected:
        theirs.setdefault(row["user"], []).append(row)
    if own.keys() != theirs.keys():
        yield f"people differ: {sorted(own.keys() ^ theirs.keys())}"
    for user in own.keys() & theirs.keys():
        if len(own[user]) != len(theirs[user]):
            yield f"{user}: {len(own[user])} steps, expected {len(theirs[user])}"
        for k, (row, wanted) in enumerate(zip(own[user], theirs[user], strict=False)):
            for name in ("y", "slot", "scored"):
                if row[name] != wanted[name]:
                    yield f"{user}, step {k}: {name} is {row[name]}, expected {wanted[name]}"
            if abs(float(row["base"]) - float(wanted["base"])) > 1.1e-5:
                yield f"{user}, step {k}: base is {row['base']}, expected {wanted['base']}"
            if row["date"] != (day := wanted_date(wanted, own[user], theirs[user])):
                yield f"{user}, step {k}: date is {row['date']}, expected {day}"


def wanted_date(wanted: Row, own: Sequence[Row], theirs: Sequence[Row]) -> str:
    if "date" in wanted:
        return wanted["date"]
    since = int(wanted["day"]) - int(theirs[0]["day"])
    return (date.fromisoformat(own[0]["date"]) + timedelta(days=since)).isoformat()


def main(argv: Sequence[str] | None = None) -> int:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(
        description="Convert public data sets to neutral event CSV.",
        epilog="example: python benches/convert.py --data ../shared/data --check",
    )
    parser.add_argument("--data", type=Path, default=root / "../shared/data")
    parser.add_argument("--out", type=Path, default=root / "build/quality/events")
    parser.add_argument("--task", choices=TASKS, action="append", help="default: all eight")
    parser.add_argument("--everyone", action="store_true", help="also people with very few steps")
    parser.add_argument("--check", action="store_true", help="compare with the label files")
    options = parser.parse_args(argv)

    options.out.mkdir(parents=True, exist_ok=True)
    failed = False
    index = {}
    for name in options.task or TASKS:
        task = TASKS[name]
        people = task.people(options.data, everyone=options.everyone)
        count = write_events(task, people, options.out / f"{name}.csv")
        index[name] = task.replay_options()
        line = f"{name}: {len(people)} people, {count} events"
        if options.check and not options.everyone:
            found = list(differences(task, people, read_rows(options.data / task.labels_file)))
            line += f", {len(found)} differences" if found else ", equal to the label file"
            line += "".join(f"\n  {difference}" for difference in found[:5])
            failed |= bool(found)
        print(line)
    (options.out / "tasks.json").write_text(json.dumps(index, indent=2) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
