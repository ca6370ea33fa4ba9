"""What README.md shows is what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import inhabit

ROOT = Path(__file__).parents[2]


def test_the_session_of_the_first_screen(tmp_path, monkeypatch):
    """The lines of the README, run as they stand, print what stands below them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    text = (ROOT / "README.md").read_text()
    sessions = re.findall(r"^```python\n(>>> .*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert sessions, "README.md shows no session"
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    names: dict[str, object] = {}
    for number, session in enumerate(sessions):
        test = parser.get_doctest(session, names, f"README session {number}", "README.md", 0)
        runner.run(test, clear_globs=False)
        names = test.globs
    assert runner.summarize(verbose=False).failed == 0


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
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in link and not link.startswith("mailto:"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
