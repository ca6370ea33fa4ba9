"""The report: one page, whole, without a single reference to the outside."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from inhabit.exceptions import ConfigError
from inhabit.report import Story, render

N = 120


def story(n=N, seed=1):
    random = np.random.default_rng(seed)
    truth = random.random(n)
    return Story(
        title="120 days of <meditate> & more",
        subtitle="a test",
        note="This person is simulated.",
        days=np.datetime64("2026-01-05") + np.arange(n),
        probability=np.clip(truth + 0.1, 0.02, 0.98),
        base_rate=np.full(n, 0.5),
        label=(random.random(n) < truth).astype(np.int8),
        scored=np.ones(n, dtype=bool),
        truth=truth,
        actions=random.choice(["remind", "wait", "suppress"], n),
        figures={"log loss": "0.5 <b>"},
        effects={"current_streak": 0.1, "weekend": 0.02},
        weights={"logistic": 0.7, "prior": 0.3},
        table=[["week of", "done"], ["2026-01-05", "3 of 7"]],
    )


class Page(HTMLParser):
    """Collects tags and checks that they are closed in order."""

    void = frozenset({"meta", "br", "hr", "img", "link", "input", "path", "use", "rect"})

    def __init__(self):
        super().__init__()
        self.stack, self.tags, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [
            v for k, v in attributes if k in {"href", "src", "xlink:href", "action", "data"}
        ]
        if tag not in self.void:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in {"href", "src", "xlink:href"}]

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def text():
    return render(story())


def test_no_reference_to_the_outside(text):
    """No address, no script, nothing to fetch; links lead into the page only."""
    assert "://" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    page = Page()
    page.feed(text)
    assert page.stack == []
    assert {"script", "link", "iframe", "img", "object", "embed"}.isdisjoint(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert "default-src 'none'" in text


def test_five_plots_in_the_colours_of_the_page(text):
    """Every plot is there, none has a colour of its own that would be wrong in the dark."""
    assert text.count("<svg") == 6
    drawn = text[text.index("<svg") :]
    colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{3,6})", drawn))
    assert colours == set()
    assert "prefers-color-scheme: dark" in text


def test_text_is_escaped(text):
    """What people call their habits is text, not markup."""
    assert "&lt;meditate&gt; &amp; more" in text
    assert "0.5 &lt;b&gt;" in text


def test_same_story_same_page(text):
    """The page depends on the story alone, not on the clock."""
    assert render(story()) == text


@pytest.mark.parametrize("changes", [
    {"truth": None}, {"effects": {}, "weights": {}}, {"table": ()},
    {"actions": np.empty(0, dtype=np.str_)}, {"label": np.full(N, -1, np.int8)},
    {"scored": np.zeros(N, dtype=bool)}, {"label": np.ones(N, np.int8)},
])  # fmt: skip
def test_missing_parts_are_left_out(changes):
    """A story without a part gives a page without it."""
    page = Page()
    page.feed(render(replace(story(), **changes)))
    assert page.stack == []
    assert page.tags.count("svg") >= 3


def test_one_day_is_enough():
    """The first day has a report, too."""
    assert "<svg" in render(story(1))


def test_nothing_to_tell():
    """Without a single prediction there is an error that says what to do."""
    with pytest.raises(ConfigError, match="record some events"):
        render(story(0))
