"""What README.md shows is what happens."""

from __future__ import annotations

import doctest
import re
import tempfile
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mypy.api
import pytest

import inhabit

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/events.md",
        "docs/features.md",
        "docs/recipes.md",
        "docs/scheduling.md",
    ],
)
def test_sessions(page, tmp_path, monkeypatch):
    """The lines of a page, run as they stand, print what stands below them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = (ROOT / page).read_text()
    sessions = re.findall(r"^```python\n(>>> .*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert sessions, f"{page} shows no session"
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    names: dict[str, object] = {}
    for number, session in enumerate(sessions):
        test = parser.get_doctest(session, names, f"{page} session {number}", page, 0)
        test.globs = names  # one page, one set of names
        runner.run(test, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0


def test_the_types_of_the_pages_are_right(tmp_path):
    """Who checks types finds nothing wrong with the lines of a page."""
    parser = doctest.DocTestParser()
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        lines = [
            "".join(example.source for example in parser.get_examples(block)) or block
            for block in blocks
        ]
        (tmp_path / f"{page.stem}.py").write_text("".join(lines))
    told, _, _ = mypy.api.run(
        [
            *("--strict", "--allow-untyped-defs", "--allow-untyped-calls"),
            *("--cache-dir", str(ROOT / ".mypy_cache" / "pages")),
            *map(str, tmp_path.glob("*.py")),
        ]
    )
    assert "error" not in told


def test_the_page_about_many_people(tmp_path, monkeypatch):
    """Its code runs as it stands, beside a file of people."""
    monkeypatch.chdir(tmp_path)
    days = [datetime(2026, 1, 5, 9, tzinfo=UTC) + timedelta(days=day) for day in range(21)]
    rows = [
        f"{user},walk,{day.isoformat()},habit_completed"
        for number, user in enumerate(("ada", "ben"), start=2)
        for day in days[::number]
    ]
    (tmp_path / "people.csv").write_text("\n".join(["user,subject,occurred_at,kind", *rows]))
    text = (ROOT / "docs/population.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        exec(block, names)
    file = (tmp_path / "walk.safetensors").read_bytes()
    for (user, events), walked in zip(names["people"].items(), names["walked"], strict=True):
        (row,) = names["rows_of"](user, events, file)
        assert (row.user, row.moments) == (user, len(walked.probability))


def test_the_settings_that_are_shown_are_the_defaults(tmp_path):
    text = (ROOT / "docs/recipes.md").read_text()
    (shown,) = re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "config.toml").write_text(shown)
    settings = inhabit.Settings.load(tmp_path)
    assert settings == inhabit.Settings()
    names = set(tomllib.loads(shown)) - {"policy", "request"}
    assert names == set(settings.__struct_fields__) - {"policy", "request"}


def test_the_version_is_written_once():
    """Cargo.toml has it; the extension and the package repeat it."""
    written = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert written is not None
    assert inhabit.__version__ == written[1]


def test_links_of_the_documents_lead_somewhere():
    """Relative links of every page name a file that exists."""
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("tests/*.md"),
        *ROOT.glob("benches/*.md"),
    ]
    for page in pages:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for link in re.findall(r"\]\(([^)#\s]+)", prose):
            if "://" not in link and not link.startswith("mailto:"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
