"""Events from elsewhere: files, other apps, version control; and back out to files.

A reader yields records one by one, good ones and bad ones; `import_records`
puts them into a log, `collect` into columns for a replay. Everything streams,
and importing the same thing twice adds nothing.

    from inhabit import importers

    report = importers.import_records(log, importers.read_csv("events.csv"))
    columns_of_each_user, report = importers.collect(importers.read_csv("study.csv"))
"""

from inhabit.importers.git_history import read_git
from inhabit.importers.loop_habits import read_loop_habits
from inhabit.importers.neutral import read_csv, read_file, read_jsonl, write_csv, write_jsonl
from inhabit.importers.records import BadRow, ImportReport, Record, collect, import_records

__all__ = [
    "BadRow",
    "ImportReport",
    "Record",
    "collect",
    "import_records",
    "read_csv",
    "read_file",
    "read_git",
    "read_jsonl",
    "read_loop_habits",
    "write_csv",
    "write_jsonl",
]
