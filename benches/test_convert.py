"""The converters, on small made-up files in the shape of the public data sets."""

import csv
import gzip
import json
from datetime import date, datetime, time, timedelta

import pytest

import convert
from convert import TASKS


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def labels(people):
    return {user: [step.label for step in own] for user, own in people.items()}


@pytest.fixture
def robas2(tmp_path):
    """Two people, 14 days each, who start on a Monday and on a Saturday."""
    rows = [
        {
            "user": user,
            "day": day,
            "tod": tod,
            "duration_s": 0.0 if (day * 2 + tod) % 3 == 0 else 90.0,
            "is_weekend": int((start + day - 1) % 7 >= 5),
        }
        for user, start in (("A", 0), ("B", 5))
        for day in range(1, 15)
        for tod in (1, 0)  # not in time order
    ]
    write_csv(tmp_path / "robas2/sessions.csv", rows)
    return tmp_path


@pytest.fixture
def fitbit(tmp_path):
    """Thirty days of one person: day 3 has an hour missing, day 5 was not worn."""
    rows = []
    for day in range(30):
        hours = 23 if day == 3 else 24
        per_hour = 10 if day == 5 else 100 + 20 * day
        start = datetime.combine(date(2020, 3, 1), time()) + timedelta(days=day)
        for hour in range(hours):
            at = start + timedelta(hours=hour)
            rows.append({"user": "F", "hour": f"{at:%Y-%m-%dT%H:%M}", "steps": per_hour})
    write_csv(tmp_path / "fitbit_mobius/hourly_steps.csv.gz", rows)
    return tmp_path


@pytest.fixture
def heartsteps(tmp_path):
    """Four decision points a day for ten days: sent or not, answered or not, some unavailable."""
    rows = []
    for k in range(40):
        slot, available, sent = k % 4 + 1, k % 7 != 0, k % 2 == 0 and k % 7 != 0
        rows.append(
            {
                "user": "9",
                "date_local": str(date(2020, 3, 1) + timedelta(days=k // 4)),
                "slot": slot,
                "avail": int(available),
                "send": float(sent),
                "send_active": float(sent and k % 4 == 0),
                "response": ("good", "no_response", "bad")[k % 3] if sent else "",
                "location": ("home", "work", "other")[k % 3],
                "activity_recognised": "STILL",
                "in_transit": 0.0,
                "temperature_c": "" if k == 2 else 20.5,
                "jbsteps60pre": 10.0 * k,
                "jbsteps30": "" if k == 5 else 50.0 * (k % 4),
            }
        )
    write_csv(tmp_path / "heartsteps_v1/decisions.csv.gz", list(reversed(rows)))
    return tmp_path


def test_sessions_are_in_order_and_days_need_both(robas2):
    sessions = TASKS["robas2_session"].people(robas2)
    assert [
        (s.day.toordinal() - sessions["A"][0].day.toordinal(), s.slot) for s in sessions["A"]
    ] == [(day, slot) for day in range(14) for slot in (0, 1)]
    assert labels(sessions)["A"][:6] == [1, 0, 1, 1, 0, 1]
    assert labels(TASKS["robas2_day_both"].people(robas2))["A"][:3] == [0, 1, 0]


def test_made_up_dates_have_the_recorded_weekends(robas2):
    people = TASKS["robas2_day_both"].people(robas2)
    assert people["A"][0].day.weekday() == 0
    assert people["B"][0].day.weekday() == 5


def test_weekends_that_no_calendar_has_are_refused():
    with pytest.raises(ValueError, match="no calendar"):
        convert.first_day([True, False, True])


def test_days_not_worn_are_unknown(fitbit):
    own = TASKS["fitbit_10k"].people(fitbit)["F"]
    assert [step.day.day for step in own][:3] == [1, 2, 3]
    assert [k for k, step in enumerate(own) if step.label is None] == [3, 5]
    # 24 * (100 + 20 d) >= 10,000 from day 16 on
    assert [k for k, step in enumerate(own) if step.label] == list(range(16, 30))


def test_personal_goal_is_the_median_of_the_first_ten_worn_days(fitbit):
    own = TASKS["fitbit_personal_goal"].people(fitbit)["F"]
    worn = [24 * (100 + 20 * day) for day in (0, 1, 2, 4, 6, 7, 8, 9, 10, 11)]
    median = (worn[4] + worn[5]) / 2
    assert [step.label for step in own][6:9] == [
        int(24 * (100 + 20 * day) >= median) for day in (6, 7, 8)
    ]


def test_survey_days_without_a_row_are_negative(tmp_path):
    first = date(2021, 5, 1)
    rows = [
        {
            "user": "L",
            "date": str(first + timedelta(days=day)),
            "steps": "" if day in {2, 3} else 5000.0,
            "activity_types": "Walk" if day % 2 else "",
            "ema_answered": int(day % 2 == 0 and day > 0),
        }
        for day in range(40)
        if day != 7
    ]
    write_csv(tmp_path / "lifesnaps_daily/daily.csv", rows)
    survey = TASKS["lifesnaps_ema"].people(tmp_path)["L"]
    assert survey[0].day == first + timedelta(days=2)  # the first answer
    assert len(survey) == 38
    assert [step.label for step in survey][:6] == [1, 0, 1, 0, 1, 0]
    exercise = TASKS["lifesnaps_exercise"].people(tmp_path)["L"]
    assert [step.label for step in exercise][:9] == [0, 1, None, None, 0, 1, 0, None, 0]


def test_heartsteps_labels_and_context(heartsteps):
    response = TASKS["heartsteps_response"].people(heartsteps)["9"]
    assert [step.label for step in response][:9] == [None, None, 1, None, 0, None, 1, None, 1]
    walk = TASKS["heartsteps_walk30"].people(heartsteps)["9"]
    assert [step.label for step in walk][:8] == [None, 0, 1, 1, 0, None, 1, None]
    context = walk[2].context
    assert context["send"] == 1.0
    assert "temperature_c" not in context  # was not measured
    assert context["steps_60min_before"] == 20.0
    # one earlier available point (k = 1), without a send; then k = 2 itself with one
    assert context["send_share"] == pytest.approx(1 / 3)
    assert walk[3].context["send_share"] == pytest.approx(2 / 4)
    assert "send" not in response[2].context


def test_too_few_steps_leave_a_person_out(fitbit):
    rows = [{"user": "G", "hour": f"2020-03-01T{hour:02}:00", "steps": 100} for hour in range(24)]
    write_csv(fitbit / "fitbit_mobius/hourly_steps.csv.gz", rows)
    assert TASKS["fitbit_10k"].people(fitbit) == {}
    assert list(TASKS["fitbit_10k"].people(fitbit, everyone=True)) == ["G"]


@pytest.mark.parametrize("name", ["heartsteps_response", "heartsteps_walk30"])
def test_events_lie_where_replay_looks_for_them(heartsteps, name):
    task = TASKS[name]
    people = task.people(heartsteps)
    rows = list(convert.events(task, people["9"]))
    assert {subject for _, subject, *_ in rows} == {name}
    outcomes = [row for row in rows if row[3].startswith("habit_")]
    known = [step for step in people["9"] if step.label is not None]
    assert len(outcomes) == len(known)
    for step, (_, _, at, kind, value) in zip(known, outcomes, strict=True):
        start, end = convert.window(task, step)
        assert start <= datetime.fromisoformat(at).replace(tzinfo=None) < end
        assert (kind == "habit_completed", value) == (step.label == 1, "")
        before = (start - convert.SECOND).isoformat()
        context = {row[3]: float(row[4]) for row in rows if row[4] and row[2].startswith(before)}
        assert context == dict(step.context)


def label_file(task, people, path):
    """The label file that belongs to steps; written out here, not by the code under test."""
    rows = []
    for user, own in people.items():
        known = [step for step in own if step.label is not None]
        first = known[0].day
        for k, step in enumerate(known):
            positives = sum(earlier.label for earlier in known[:k])
            day = {"date": str(step.day)}
            if task.folder == "robas2":
                day = {"day": (step.day - first).days + 1}
            rows.append(
                {
                    "user": user,
                    "y": step.label,
                    "base": round((positives + 1) / (k + 2), 5),
                    "slot": task.slot_names[step.slot],
                    "scored": int(k >= task.warm_up),
                    **day,
                }
            )
    write_csv(path / task.labels_file, rows)
    return rows


def test_check_compares_every_row(robas2, tmp_path, capsys):
    task = TASKS["robas2_session"]
    rows = label_file(task, task.people(robas2), robas2)
    arguments = ["--data", str(robas2), "--out", str(tmp_path / "out"), "--check"]
    arguments += ["--task", task.name]
    assert convert.main(arguments) == 0
    assert "equal to the label file" in capsys.readouterr().out
    options = json.loads((tmp_path / "out/tasks.json").read_text())[task.name]
    assert options["--moments"] == "04:00,15:00"

    for column, wrong in (("y", 1 - rows[9]["y"]), ("base", 0.123), ("scored", 0), ("day", 99)):
        changed = [dict(row) for row in rows]
        changed[9][column] = wrong
        write_csv(robas2 / task.labels_file, changed)
        assert convert.main(arguments) == 1, column
        assert "A, step 9" in capsys.readouterr().out
    write_csv(robas2 / task.labels_file, rows[:-1])
    assert convert.main(arguments) == 1
