"""The command line: every example of every help, exit codes, errors of one line, JSON."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from inhabit.cli import main
from inhabit.importers import read_file
from inhabit.personalizer import Personalizer
from inhabit.questions import SURE

COMMANDS = sorted(main.commands)
ZONE = timezone(timedelta(hours=1))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder to work in, with a home of its own in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INHABIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def run(*arguments, code=0, text=None):
    """Run a command in this process; return its output."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(main, words, input=text, prog_name="inhabit")
    assert result.exit_code == code, result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(*arguments, code=0):
    """Run a command with --json; return what it says."""
    return json.loads(run(*arguments, "--json", code=code).stdout)


def write_events(path, users=("ada",), days=40, seed=1):
    """Write a neutral CSV of people who do it on most days, at nine or so."""
    random = np.random.default_rng(seed)
    lines = ["user,subject,occurred_at,kind,value"]
    for user in users:
        for day in range(days):
            at = datetime(2026, 1, 5, 9, int(random.integers(60)), tzinfo=ZONE) + timedelta(
                days=day
            )
            kind = "habit_completed" if random.random() < 0.7 else "app_opened"
            lines.append(f"{user},meditate,{at.isoformat()},{kind},")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_loop_habits(path):
    """Write an export of Loop Habit Tracker, as far as it is needed."""
    marks = "".join(f"2026-01-{day:02d},{2 if day % 3 else 0}\n" for day in range(20, 0, -1))
    with zipfile.ZipFile(path, "w") as export:
        export.writestr("Habits.csv", "Position,Name,Question,Description\n1,Meditate,,\n")
        export.writestr("001 Meditate/Checkmarks.csv", f"Date,Value\n{marks}")
    return path


def write_repository(path):
    """Make a repository with a few commits."""
    path.mkdir(parents=True)
    git = ["git", "-C", str(path), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "config", "user.email", "ada@example.org"], check=True)
    for day in range(1, 8):
        when = {"GIT_AUTHOR_DATE": f"2026-01-0{day}T20:00:00+0100"}
        subprocess.run(
            [*git, "commit", "--quiet", "--allow-empty", "--message", f"Day {day}"],
            check=True,
            env={
                **when,
                "GIT_COMMITTER_DATE": when["GIT_AUTHOR_DATE"],
                "PATH": "/usr/bin:/bin:/usr/local/bin",
            },
        )
    return path


# --- help ----------------------------------------------------------------------------------------


def examples(command):
    """Return the example lines of a command's help, as the shell would split them."""
    text = run(command, "--help").output
    block = re.search(r"Example:\n((?:    .+\n)+)", text)
    assert block is not None
    for line in block[1].splitlines():
        first = line.split("&&")[0]
        yield shlex.split(first, comments=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help_work(command, home):
    """What the help shows can be typed as it stands."""
    write_events(home / "events.csv")
    write_events(home / "people.csv", users=("ada", "ben", "cleo"))
    write_loop_habits(home / "Loop Habits CSV.zip")
    write_repository(home / "src" / "project")
    subprocess.run(["cp", "-r", str(home / "src" / "project" / ".git"), str(home)], check=True)
    if command not in {"import", "record", "demo"}:
        run("import", "events.csv")
    allowed = {"decide": {0, 10, 11}, "train": {0, 3}}.get(command, {0})
    shown = list(examples(command))
    assert shown
    for program, *arguments in shown:
        assert program == "inhabit"
        words = [argument.replace("~", str(home)) for argument in arguments]
        if words == ["demo"]:
            words += ["--days", "20"]  # a year takes seconds, this takes less
        if command == "forget":
            words += ["--yes"]
        result = CliRunner().invoke(main, words)
        assert result.exit_code in allowed, result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_complete(command):
    """Every command has --json, says its exit codes, and explains every option."""
    text = run(command, "--help").output
    assert "--json" in text
    assert "Exit codes:" in text
    options = [p for p in main.commands[command].params if isinstance(p, click.Option)]
    assert all(option.help or option.show_default for option in options)


def test_program_and_module_are_one(home):
    """``python -m inhabit`` is ``inhabit``; the version is the package's."""
    from inhabit import __version__

    for command in (
        [sys.executable, "-m", "inhabit"],
        [str(Path(sys.executable).with_name("inhabit"))],
    ):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"inhabit, version {__version__}\n"


def test_the_list_of_commands_fits_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("--help").output.splitlines()
    for name in COMMANDS:
        (line,) = (line for line in lines if line.startswith(f"  {name} "))
        assert line.endswith(".")
        assert not line.endswith("...")


def test_any_encoding_of_the_terminal(home):
    """What it cannot show is no error; JSON and exports are UTF-8 wherever they go."""

    def inhabit(*arguments):
        command = [sys.executable, "-m", "inhabit", *arguments]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    assert inhabit("record", "habit_completed", "-s", "caf\xe9").startswith(b"recorded")
    assert b"caf\\xe9" in inhabit("status")
    assert json.loads(inhabit("predict", "--json"))["subject"] == "caf\xe9"
    assert ",caf\xe9,".encode() in inhabit("export", "-")


# --- a day ---------------------------------------------------------------------------------------


def test_a_first_day(home):
    """Record, predict, decide, train, status, export, forget; in a process of its own each."""

    def inhabit(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "inhabit", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert inhabit("status") == (
        2,
        "",
        (
            "inhabit: there is no event about a subject yet; say --subject, or record one: inhabit "
            "record habit_completed --subject meditate; see inhabit status --help\n"
        ),
    )
    code, out, _ = inhabit("record", "habit_completed", "-s", "meditate")
    assert (code, out.startswith("recorded habit_completed of meditate at ")) == (0, True)
    happened = "it has happened already: meditate, habit_completed today\n"
    assert inhabit("predict")[1] == inhabit("predict", "--explain")[1] == happened
    assert inhabit("decide", "--exit-code")[:2] == (11, "suppress  already done\n")
    assert inhabit("train", "--if-due")[0] == 3
    assert "learnt from" in inhabit("status")[1]
    code, out, _ = inhabit("export", "-")
    assert out.splitlines()[0] == "user,subject,occurred_at,kind,value,recorded_at,id"
    assert len(out.splitlines()) == 2
    code, out, _ = inhabit("forget", "--all", "--yes")
    assert (code, out) == (0, "forgot 1 event and blanked or removed 1 decision\n")


def test_a_prediction_at_its_limit_is_not_taken_for_knowledge(home):
    """Who has done it on every day for years has not done it yet today."""
    # Until four it is still yesterday's day, on the clock by which the command records.
    today = (datetime.now().astimezone() - timedelta(hours=4)).replace(hour=9)
    days = [today - timedelta(days=day) for day in range(3000, 0, -1)]
    lines = [f"ada,meditate,{day.isoformat()},habit_completed," for day in days]
    header = "user,subject,occurred_at,kind,value"
    (home / "events.csv").write_text("\n".join([header, *lines]))
    run("import", "events.csv")
    asked = "predict", "--at", (today - timedelta(hours=4)).isoformat(), "--explain"
    said = told(*asked)
    assert (said["probability"], said["known"]) == (SURE, None)
    assert max(said["reasons"].values()) > 0
    assert run(*asked).output.startswith("100 % likely: meditate")
    run("record", "habit_skipped")
    assert run("predict").output.startswith("skipped by the person: meditate")


def test_json(home):
    """Every command answers in JSON when asked to."""
    assert told("import", write_events(home / "events.csv"))["added"] == 40
    probability = told("predict", "--at", "2026-02-14T08:00")["probability"]
    assert 0 < probability < 1
    reasons = told("predict", "--explain", "--at", "2026-02-14T08:00")["reasons"]
    assert set(reasons) > {"current_streak", "weekend"}
    looked = told("decide", "--dry-run")
    decision = told("decide")
    assert looked["action"] == decision["action"]
    assert {"action", "probability", "reasons", "propensity", "generation"} < set(decision)
    assert told("train")["outcome"] == "trained"
    assert told("train", "--if-due", code=3)["due"]["due"] is False
    status = told("status")
    assert (status["generation"], status["decisions"]) == (1, {decision["action"]: 1})
    assert told("record", "habit_skipped", "--value", "2.5")["kind"] == "habit_skipped"
    assert told("export", "all.jsonl") == {"file": "all.jsonl", "rows": 41}
    assert told("replay", "events.csv", "--prior", "none")["rows"] == 40
    assert told("prior", "events.csv", "-o", "my.safetensors")["people"] == 1
    assert told("prior")["features"][0] == "current_streak"
    assert told("demo", "--days", "14", "--report", "r.html")["report"] == "r.html"
    assert told("forget", "--since", "2026-01-10", "--yes")["events"] > 0


def test_what_was_exported_can_be_imported(home):
    """Out as CSV, JSON Lines or a whole database; in again: the same events."""
    run("import", write_events(home / "events.csv"))
    for name in ("out.csv", "out.jsonl"):
        run("export", name)
        ids = {record.row.id for record in read_file(home / name)}
        assert (
            told("import", name, "--home", home / name.replace(".", "-"))["added"] == len(ids) == 40
        )
        assert told("import", name) | {"bad_rows": []} == {
            "read": 40, "added": 0, "known": 40, "others": 0, "bad": 0, "bad_rows": [],
        }  # fmt: skip
    run("export", "copy/events.sqlite3", "--what", "backup", code=1)
    (home / "copy").mkdir()
    run("export", "copy/events.sqlite3", "--what", "backup")
    assert Personalizer.subjects(home / "copy") == ("meditate",)
    weights = json.loads(run("export", "-", "--what", "weights").stdout)
    assert set(weights) == {"weights", "biases", "version"}


def test_forgetting_asks_first(home):
    """Without a yes nothing is forgotten."""
    run("import", write_events(home / "events.csv"))
    run("forget", "--all", text="n\n", code=1)
    assert told("status")["events"] == 40
    span = ("--since", "2026-01-05", "--until", "2026-01-10T12:00")
    asked = run("forget", *span, text="n\n", code=1).stderr
    assert "Forget meditate since 2026-01-05 00:00 until 2026-01-10 12:00?" in asked
    run("forget", "--all", text="y\n")
    run("status", code=2)


def test_what_concerns_all_is_forgotten_without_a_habit(home):
    """A log of app launches alone, or one of them; an empty subject is no other habit's."""
    run("record", "app_opened", "-s", "")
    first = told("record", "app_opened", "-s", "", "--value", "1")["id"]
    assert told("forget", first, "--yes")["events"] == 1
    assert told("forget", "--all", "--yes")["events"] == 1
    run("record", "habit_completed", "-s", "meditate")
    run("forget", "-s", "", "--since", "2026-01-01", "--yes", code=2)
    assert told("status")["events"] == 1


def test_what_concerns_all(home):
    """An app launch is about no habit in particular; the future has not happened yet."""
    run("record", "app_opened", "-s", "")
    run("status", code=2)
    run("record", "habit_completed", "-s", "meditate")
    assert told("status")["events"] == 2
    assert "future" in run("record", "walked", "--at", "2999-01-01T00:00Z", code=2).stderr


def test_a_home_in_the_home(home, monkeypatch):
    """A tilde that no shell has expanded, as in a unit file, means the same to every command."""
    monkeypatch.setenv("INHABIT_HOME", "~/habits")
    run("record", "habit_completed", "-s", "meditate")
    assert told("status")["home"] == str(home / "habits")
    assert Personalizer.subjects("~/habits") == ("meditate",)
    assert not (home / "~").exists()


def test_decisions_about_the_past_are_not_kept(home):
    """They are made with hindsight."""
    run("record", "habit_completed", "-s", "meditate")
    told("decide", "--at", "2026-02-20T08:00")
    assert told("status")["decisions"] == {}
    told("decide")
    assert len(told("status")["decisions"]) == 1


def test_doubts_are_told(home):
    """What is probably not meant so is said, beside the result."""
    file = write_events(home / "events.csv", days=9)
    assert run("replay", file).stderr == ""
    result = run("replay", file, "--target", "habit_complete")
    assert "there is no habit_complete" in result.stderr
    assert "only app_opened, habit_completed" in result.stderr
    assert "nothing is scored" in run("replay", write_events(home / "few.csv", days=3)).stderr
    lines = file.read_text().splitlines()
    late = [f"{line},2026-06-01T00:00:00Z" for line in lines[1:]]
    (home / "late.csv").write_text("\n".join([f"{lines[0]},recorded_at", *late]))
    assert "9 events were recorded more than a week after" in run("replay", "late.csv").stderr
    ahead = (datetime.now(ZONE) + timedelta(days=30)).isoformat()
    (home / "ahead.csv").write_text(f"{lines[0]}\nada,meditate,{ahead},habit_completed,\n")
    assert "1 event of the future" in run("replay", "ahead.csv").stderr
    (home / "none.csv").write_text(lines[0] + "\n")
    assert "none.csv: there is no event in it" in run("replay", "none.csv", code=1).stderr


def test_an_old_file_stays_when_a_replay_fails(home):
    """Predictions are put in place when they are complete."""
    (home / "out.csv").write_text("precious")
    (home / "none.csv").write_text("user,subject,occurred_at,kind,value\n")
    run("replay", "none.csv", "--predictions", "out.csv", code=1)
    assert (home / "out.csv").read_text() == "precious"
    run("replay", write_events(home / "events.csv"), "--predictions", "out.csv")
    assert (home / "out.csv").read_text().startswith("user,subject")


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_an_old_file_stays_when_writing_fails(home, monkeypatch, failure):
    run("import", write_events(home / "events.csv"))

    def fails(*arguments):
        next(file for file in arguments if hasattr(file, "write")).write("half")
        raise failure

    monkeypatch.setattr("inhabit.cli.daily.write_csv", fails)
    monkeypatch.setattr("inhabit.evaluation.write_csv", fails)
    (home / "out.csv").write_text("precious")
    for command in (["export", "out.csv"], ["replay", "events.csv", "--predictions", "out.csv"]):
        said = run(*command, code=1).stderr
        assert said.splitlines()[-1] in {"inhabit: out.csv: No space left on device", "Aborted!"}
        assert (home / "out.csv").read_text() == "precious"
    assert {path.name for path in home.iterdir()} == {"home", "events.csv", "out.csv"}


def test_an_old_prior_stays_when_writing_fails(home):
    write_events(home / "events.csv")
    (home / "my.safetensors").write_text("precious")
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    done = subprocess.run(
        [sys.executable, "-c", limited + "runpy.run_module('inhabit', run_name='__main__')",
         "prior", "events.csv", "--out", "my.safetensors"],
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "inhabit: my.safetensors: File too large"
    assert (home / "my.safetensors").read_text() == "precious"
    assert {path.name for path in home.iterdir()} == {"events.csv", "my.safetensors"}


def test_a_link_stays_a_link_and_a_mode_a_mode(home):
    run("import", write_events(home / "events.csv"))
    (home / "out.csv").touch(mode=0o600)
    (home / "link").symlink_to("out.csv")
    run("export", "link")
    assert (home / "link").is_symlink()
    assert (home / "out.csv").read_text().startswith("user,subject")
    assert (home / "out.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="has no full device")
@pytest.mark.parametrize("command", ["status", "status --json", "export -"])
def test_a_full_output_is_said_in_one_line(home, command):
    run("import", write_events(home / "events.csv"))
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "inhabit", *command.split()],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "inhabit: the output: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["export"], "home/events.sqlite3"),
        (["export"], "link"),
        (["export", "--what", "weights"], "home/events.sqlite3"),
        (["replay", "events.csv", "--predictions"], "events.csv"),
        (["prior", "events.csv", "--out"], "./events.csv"),
        (["demo", "--events", "events.csv", "--report"], "events.csv"),
    ],
)
def test_what_is_read_is_never_written_over(home, arguments, file):
    write_events(home / "events.csv")
    run("import", home / "events.csv")
    (home / "link").symlink_to(home / "home" / "events.sqlite3")
    before = (home / file).read_bytes()
    assert "expected another file" in run(*arguments, file, code=1).stderr
    assert (home / file).read_bytes() == before


def test_subjects_are_told_apart(home):
    """With two habits the command asks which; with --subject it knows."""
    run("record", "habit_completed", "-s", "meditate")
    run("record", "habit_completed", "-s", "read")
    assert run("predict", code=2).stderr == (
        "inhabit: say which with --subject: meditate, read; see inhabit predict --help\n"
    )
    assert told("predict", "-s", "read")["subject"] == "read"


def test_a_subject_that_is_new_beside_others_is_noted(home):
    """It may be a slip, which is forgotten as easily as it was made."""
    assert run("record", "habit_completed", "-s", "meditate").stderr == ""
    assert run("record", "habit_completed", "-s", "meditate").stderr == ""
    assert run("record", "app_opened", "-s", "").stderr == ""
    said = run("record", "habit_completed", "-s", "meditaet").stderr
    assert said.startswith("meditaet is new, beside meditate; if that was a slip: inhabit forget ")
    run("forget", said.split()[-1], "--yes")
    assert Personalizer.subjects(home / "home") == ("meditate",)


def test_the_status_of_several_habits(home):
    """One that was taken up today has no failures behind it; one that was named is told alone."""
    run("import", write_events(home / "events.csv"))
    run("record", "habit_completed", "-s", "read")
    run("train")
    found = told("status")
    assert list(found) == ["meditate", "read"]
    assert found["meditate"] == told("status", "-s", "meditate")
    assert (found["read"]["samples"], found["read"]["metrics"]) == (0, {})
    lines = run("status").stdout.splitlines()
    meditate, read = (next(line for line in lines if name in line) for name in found)
    assert f"{found['meditate']['metrics']['log_loss']:.3f}" in meditate
    assert read.split()[1:6] == ["0", "0", "-", "-", "0"]


def test_what_is_about_all_subjects_asks_for_none(home):
    """Training, exporting and forgetting everything, or by id, work with several habits."""
    run("import", write_events(home / "events.csv"))
    run("record", "habit_completed", "-s", "read")
    assert told("export", "all.csv")["rows"] == 41
    assert told("export", "read.csv", "-s", "read")["rows"] == 1
    assert told("export", "all.sqlite3", "--what", "backup")["rows"] == 41
    assert "only meditate, read" in run("export", "x.csv", "-s", "raed", code=1).stderr
    trained = told("train")
    assert {name: training["outcome"] for name, training in trained.items()} == {
        "meditate": "trained",
        "read": "unchanged",
    }
    lines = run("train", "--if-due", code=3).stdout.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["meditate", " not due"],
        ["read", " not due"],
    ]
    first = next(iter(read_file(home / "all.csv"))).row.id
    assert told("forget", first, "--yes")["events"] == 1
    assert "Forget everything?" in run("forget", "--all", text="y\n").stderr
    run("status", code=2)


def test_a_new_subject_is_told(home):
    """It may be a habit of today, or a slip of the finger; in an empty home it is the first."""
    assert run("predict", "-s", "meditate").stderr == ""
    run("record", "habit_completed", "-s", "meditate")
    result = run("predict", "-s", "meditat")
    assert result.stderr == "there is no event about meditat yet, only about meditate\n"
    assert "likely: meditat" in result.stdout


def test_trainings_in_a_hurry(home):
    """Out of time is a code of its own, and the next call goes on."""
    run("import", write_events(home / "events.csv", days=200))
    codes = []
    while 0 not in codes:
        result = CliRunner().invoke(main, ["train", "--deadline", "0ms"])
        codes.append(result.exit_code)
    assert set(codes[:-1]) == {4}
    assert told("status")["generation"] == 1


# --- replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["next-moment", "rest-of-day", "next-day", "6h"])
@pytest.mark.parametrize("missing", ["negative", "unknown"])
def test_replay(home, window, missing):
    """The summary beside the base rate, and every prediction as CSV."""
    write_events(home / "events.csv", users=("ada", "ben"))
    summary = told(
        "replay", "events.csv", "--target", "habit_completed", "--moments", "04:00,15:00",
        "--window", window, "--missing", missing, "--prior", "none", "--predictions", "out.csv",
    )  # fmt: skip
    header, *rows = (home / "out.csv").read_text().splitlines()
    assert header == "user,subject,moment,window_end,probability,label,generation"
    assert len(rows) == summary["rows"]
    assert {row.split(",")[0] for row in rows} == {"ada", "ben"}
    assert all(0 < float(row.split(",")[4]) < 1 for row in rows)
    assert {"log_loss", "brier", "auc", "calibration_error"} < set(summary["base_rate"])
    table = run("replay", "events.csv", "--window", window).output
    assert "running base rate" in table
    assert "log losses of probabilities within [0.01, 0.99]" in table


def test_priors_travel_as_files(home):
    """A prior learnt from some people serves in a replay of others and in a home."""
    write_events(home / "people.csv", users=("ada", "ben", "cleo"))
    write_events(home / "other.csv", users=("dora",), seed=2)
    with (home / "people.csv").open("a") as file:  # of whom there is no label to learn from
        file.write("eve,meditate,2026-01-05T09:00:00+01:00,app_opened,\n")
    learnt = run("prior", "people.csv", "--out", "p.safetensors")
    assert learnt.stderr == ""
    assert learnt.stdout.startswith("learnt from 3 people and ")
    typed = run("prior", "people.csv", "--out", "typo.safetensors", "--target", "habit_complete")
    assert "there is no habit_complete in people.csv, only app_opened" in typed.stderr
    with_prior = told("replay", "other.csv", "--prior", "p.safetensors")
    assert with_prior != told("replay", "other.csv", "--prior", "none")
    run("import", "other.csv")
    (home / "home" / "config.toml").write_text(f"prior = '{home / 'p.safetensors'}'\n")
    run("train")
    first = told("predict", "--at", "2026-02-20T09:00+01:00")
    (home / "home" / "config.toml").write_text("prior = '../p.safetensors'\n")
    assert told("predict", "--at", "2026-02-20T09:00+01:00") == first


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["predict", "--subject", "x", "--at", "soon"], 2, "2026-03-02T18:30"),
    (["record"], 2, "Missing argument 'KIND'"),
    (["record", "a\nb", "-s", "x"], 1, "kind"),
    (["record", "walked", "-s", "x", "--value", "nan"], 1, "value"),
    (["record", "walked", "-s", "x", "--at", "0001-01-01"], 2, "2026-03-02T18:30"),
    (["record", "walked", "-s", "x", "--at", "9999-12-31T23:59-10:00"], 2, "future"),
    (["train", "-s", "x", "--deadline", "soon"], 2, "25s"),
    (["replay", "nothing.csv"], 2, "does not exist"),
    (["replay", "bad.csv"], 1, "first line must name"),
    (["replay", "events.csv", "--moments", "teatime"], 2, "04:00"),
    (["replay", "events.csv", "--window", "soon"], 2, "rest-of-day"),
    (["replay", "events.csv", "--window", "0h"], 2, "such as 6h, got '0h'"),
    (["replay", "events.csv", "--target", "flew"], 0, "see --target"),
    (["replay", "events.csv", "--prior", "none.safetensors"], 1, "none.safetensors"),
    (["replay", "events.csv", "--prior", "events.csv"], 1, "inhabit prior --out"),
    (["replay", "events.csv", "--day-start", "04:00,05:00"], 2, "04:00"),
    (["replay", "events.csv", "--predictions", "no/where.csv"], 1, "there is no folder no"),
    (["import"], 2, "name one source"),
    (["import", "--git", "."], 1, "git"),
    (["import", "events.csv", "--subject", "x"], 2, "--git"),
    (["import", "events.csv", "--author", "x"], 2, "--git"),
    (["import", "--git", ".", "--user", "x"], 2, "FILE"),
    (["forget"], 2, "what to forget"),
    (["forget", "-s", "x"], 2, "what to forget"),
    (["forget", "-s", "x", "--all"], 2, "--since 1970-01-01"),
    (["forget", "-s", "", "--since", "2026-03-02"], 2, "by the IDs of its events"),
    (["forget", "--all", "--yes"], 2, "no event about a subject yet"),
    (["forget", "-s", "x", "--since", "2026-03-02", "--until", "2026-03-02"], 2, "not before"),
    (["export", "out.csv"], 1, "no events in"),
    (["export", "-", "--what", "backup"], 2, "name a FILE"),
    (["export", "all", "--what", "backup", "-s", "x"], 2, "of all subjects"),
    (["export", "no/where.csv"], 1, "there is no folder no"),
    (["prior", "events.csv"], 2, "--out"),
    (["prior", "events.csv", "--out", "no/where"], 1, "there is no folder no"),
    (["demo", "--days", "3"], 2, "14"),
    (["demo", "--events", "events.csv", "--user", "ben"], 1, "only ada"),
    (["demo", "--events", "events.csv", "--git", "."], 2, "name one source: --events FILE"),
    (["demo", "--subject", "run"], 2, "name one source: --events FILE"),
    (["demo", "--prior", "events.csv"], 1, "inhabit prior --out"),
    (["status", "-s", "x", "--home", "daily"], 1, "write P1D"),
    (["status", "-s", "x", "--home", "priorless"], 1, "../events.csv: the file is truncated"),
    (["nonsense"], 2, "No such command"),
    (["--nonsense"], 2, "No such option"),
    (["status", "-s", "x", "--home", "broken"], 1, "not TOML"),
    (["status", "-s", "x", "--home", "misspelt"], 1, "no setting 'tarket', only target, window"),
])  # fmt: skip
def test_errors_are_one_line(home, arguments, code, said):
    """Whatever is wrong: one line, on the error output, a code, and no traceback."""
    write_events(home / "events.csv")
    (home / "bad.csv").write_text("a,b\n1,2\n")
    (home / "broken").mkdir()
    (home / "broken" / "config.toml").write_text("= nonsense")
    (home / "misspelt").mkdir()
    (home / "misspelt" / "config.toml").write_text("tarket = 'walked'")
    (home / "priorless").mkdir()
    (home / "priorless" / "config.toml").write_text("prior = '../events.csv'")
    (home / "daily").mkdir()
    (home / "daily" / "config.toml").write_text("[request]\ninterval = '1d'")
    result = run(*arguments, code=code)
    assert said in result.stderr
    if code:
        assert result.stdout == ""
        assert result.stderr.startswith("inhabit: ")
        assert result.stderr.count("\n") == 1


def test_bad_rows_are_told(home):
    """A bad row is named with its line; the good ones are kept, or none with --strict."""
    file = write_events(home / "events.csv")
    file.write_text(file.read_text() + "ada,meditate,yesterday,habit_completed,\n")
    assert "line 42" in run("import", "--strict", file, code=1).stderr
    result = run("import", file)
    assert "line 42" in result.stderr
    assert result.stdout == "40 new events, 0 known already, 1 bad row left out\n"


def test_many_bad_rows_are_counted(home):
    """The first five are told; --json of the import, and of nothing else, lists all of them."""
    file = write_events(home / "events.csv")
    file.write_text(file.read_text() + "ada,meditate,yesterday,habit_completed,\n" * 7)
    assert "\n... and 2 more; --json lists them\n" in run("import", file).stderr
    assert len(told("import", file)["bad_rows"]) == 7
    assert "\n... and 2 more\n" in run("replay", file, "--prior", "none").stderr


@pytest.mark.parametrize("users", [("ada", "ben"), ("ben", "ada")])
def test_a_file_of_several_people_asks_whose_events_to_take(home, users):
    """Whoever comes first in it; nothing is taken before that is said."""
    file = write_events(home / "events.csv", users=users)
    assert run("import", file, code=2).stderr == (
        "inhabit: events.csv holds the events of 2 people; say whose to take with --user: "
        "'ada', 'ben'; see inhabit import --help\n"
    ).replace("events.csv", str(file))
    assert not (home / "home").exists()
    assert run("import", file, "--user", "ben").stdout == (
        "40 new events, 0 known already, 40 of others\n"
    )
    assert (
        "events.csv holds no event of --user eve"
        in run("import", file, "--user", "eve", code=2).stderr
    )


# --- demo ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [
    [], ["--events", "events.csv"], ["--loop-habits", "Loop.zip"], ["--git", "repository"],
])  # fmt: skip
def test_demo(home, source):
    """A life is lived, told by week and in a report; it says whose it is; no trace stays."""
    write_events(home / "events.csv")
    write_loop_habits(home / "Loop.zip")
    write_repository(home / "repository")
    result = run(
        "demo", "--days", "21", "--prior", "none", "--report", "deep/in/demo.html", *source
    )
    text = (home / "deep" / "in" / "demo.html").read_text()
    assert "report: deep/in/demo.html" in result.stdout
    assert "week of" in result.stdout
    assert text.count("<svg") >= 3
    assert "://" not in text
    simulated = "This person is simulated"
    assert (simulated in text, simulated in result.stdout) == (not source, not source)
    assert ("real events" in text) == bool(source)
    assert not (home / "home").exists()


def test_demo_without_matplotlib(home, monkeypatch):
    """What was lived is told; only the report is missing, and what it takes is named."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("demo", "--days", "14", "--prior", "none", code=1)
    assert "week of" in result.stdout
    assert result.stderr == (
        "inhabit: matplotlib is needed for the report: pip install 'inhabit[report]'\n"
    )


def test_demo_is_repeatable(home):
    """The same seed lives the same life; another seed another one."""
    arguments = ["demo", "--days", "14", "--prior", "none", "--report", "r.html"]
    first, again, other = (told(*arguments, "--seed", seed) for seed in (1, 1, 2))
    for told_ in (first, again, other):
        del told_["a training took"]
    assert first == again
    assert first != other
