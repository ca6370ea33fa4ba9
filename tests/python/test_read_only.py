"""A home that cannot be written, such as one in a backup: it can be read, and stays as it is."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from inhabit.events import EventLog
from inhabit.personalizer import Personalizer

NOW = datetime(2026, 5, 1, 18, tzinfo=UTC)

COMMANDS = """
import json, sys
from click.testing import CliRunner
from inhabit.cli import main

def told(command):
    result = CliRunner().invoke(main, command.split(), prog_name="inhabit")
    return result.exit_code, result.output

print(json.dumps([told(command) for command in json.loads(sys.argv[1])]))
"""


def bound_by_permissions():
    """Let permissions count for root as they do for everyone else, from the next program on."""
    if os.geteuid() == 0:
        drop, override, read_search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE and its sibling
        for capability in (override, read_search):
            assert ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0) == 0


def told(home, *commands):
    """Run commands on a home that may not be written; return exit codes and outputs."""
    for place in (home, *home.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    before = content(home)
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        env={**os.environ, "INHABIT_HOME": str(home)},
        preexec_fn=bound_by_permissions,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert content(home) == before
    return json.loads(done.stdout)


def content(home):
    return {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}


@pytest.fixture
def home(tmp_path):
    """A home with a trained generation and a decision whose outcome is not joined yet."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text("[policy]\nexplore = 0.1\n")
    clock = [NOW]
    with Personalizer.open("run", home, clock=lambda: clock[0]) as me:
        for day in range(40, 0, -1):
            clock[0] = NOW - timedelta(days=day)
            me.record("habit_completed")
        me.train()
        me.decide()
    yield home
    for folder in (home, *home.rglob("*")):
        folder.chmod(0o755)  # so that the folder can be removed


def test_reading_works_and_leaves_nothing_behind(home, tmp_path):
    commands = (
        "status --json",
        "predict --explain --json",
        "decide --dry-run --json",
        "export - --json",
        f"export {tmp_path}/weights.json --what weights",
        f"export {tmp_path}/copy.sqlite3 --what backup",
    )
    answers = told(home, *commands)
    assert [code for code, _ in answers] == [0] * len(commands), answers
    status = json.loads(answers[0][1])
    assert (status["events"], status["generation"]) == (40, 1)
    assert answers[3][1].count("habit_completed") == 40
    with EventLog(tmp_path / "copy.sqlite3") as copy:
        assert (copy.count(), copy.writable) == (40, True)


def test_writing_says_what_to_do(home, tmp_path):
    events = tmp_path / "events.csv"
    events.write_text("occurred_at,kind\n2026-03-01T06:00Z,x\n")
    log = "can be read but not written (Permission denied): change its permissions, or copy"
    answers = {
        "record x -s run": log,
        "decide": log,
        f"import {events}": log,
        "train": "inhabit: cannot save a generation to",
        "forget --all --yes": "inhabit: cannot remove generations from",
    }
    for (code, output), expected in zip(told(home, *answers), answers.values(), strict=True):
        assert code == 1
        assert expected in output
        assert output.count("\n") == 1


@pytest.mark.parametrize("shared", [True, False])
def test_what_a_killed_process_left_is_read_or_named(home, tmp_path, shared):
    """Its last events are in the write-ahead log, which must not be passed over."""
    copy = tmp_path / "copy"
    with Personalizer.open("run", home) as me:
        me.record("habit_skipped")
        shutil.copytree(home, copy)
    if not shared:
        (copy / "events.sqlite3-shm").unlink()
    ((code, output),) = told(copy, "export -")
    for folder in (copy, *copy.rglob("*")):
        folder.chmod(0o755)
    if shared:
        assert (code, output.count("\n")) == (0, 42)
    else:
        assert code == 1
        assert "its last events are still in" in output


def test_an_old_schema_that_cannot_be_brought_up_to_date_is_named(home):
    with contextlib.closing(sqlite3.connect(home / "events.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 2")
    ((code, output),) = told(home, "export - -s run")
    assert code == 1
    assert "was written by an older inhabit and must be brought up to date" in output
