"""A self-contained page about one person's loop: what was predicted, what came, what was decided.

`render` turns a `Story` (plain arrays) into one HTML file that works offline: the plots are inline
SVG drawn by matplotlib (extra ``inhabit[report]``), the page forbids itself every request by its
own content security policy, and it follows the light or dark setting of whoever reads it.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inhabit.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Story", "render"]

# Colours are written as marks that no plot uses by chance, then replaced by variables of the page,
# so that one drawing serves light and dark.
_INK, _MUTED, _GRID = "#010203", "#010204", "#010205"
_MODEL, _BASE, _GOOD, _BAD = "#010206", "#010207", "#010208", "#010209"
_REMIND, _WAIT, _SUPPRESS = "#01020a", "#01020b", "#01020c"
_VARIABLES: Final = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--grid)",
    _MODEL: "var(--model)",
    _BASE: "var(--base)",
    _GOOD: "var(--good)",
    _BAD: "var(--bad)",
    _REMIND: "var(--remind)",
    _WAIT: "var(--wait)",
    _SUPPRESS: "var(--suppress)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a report tells; every array of the first block has shape (n,), one entry per moment.

    Parameters
    ----------
    title, subtitle : str
        Headline, and one line under it.
    note : str
        Said in a box at the top; for instance that the person is simulated.
    days : ndarray of datetime64[D]
        Local day of each moment, ascending.
    probability, base_rate : ndarray of float64
        What was predicted, and what the running base rate would have said.
    label : ndarray of int8
        1 happened, 0 did not, -1 not known, or known before it was asked.
    scored : ndarray of bool
        Which predictions are compared with the base rate: the first of each window.
    truth : ndarray of float64, optional
        The true probability, known of simulated people only.
    actions : ndarray of str
        ``"remind"``, ``"wait"`` or ``"suppress"``; empty where nothing was decided.
    figures : mapping of str to str
        Headline numbers, already worded.
    effects : mapping of str to float
        Feature -> mean size of its effect on the probability.
    weights : mapping of str to float
        Expert -> its weight in the mixture.
    table : sequence of sequences of str
        Rows by week, the header first.
    thresholds : (float, float)
        Remind below, suppress above.
    """

    title: str
    subtitle: str
    note: str = ""
    days: NDArray[np.datetime64]
    probability: NDArray[np.float64]
    base_rate: NDArray[np.float64]
    label: NDArray[np.int8]
    scored: NDArray[np.bool_]
    truth: NDArray[np.float64] | None = None
    actions: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=np.str_))
    figures: Mapping[str, str] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    table: Sequence[Sequence[str]] = ()
    thresholds: tuple[float, float] = (0.4, 0.8)


def render(story: Story) -> str:
    """Return the page as one HTML text without any reference to the outside.

    Parameters
    ----------
    story : Story
        What to tell.

    Returns
    -------
    str
        A complete HTML document.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or there is nothing to tell.
    """
    if not len(story.probability):
        raise ConfigError("story: expected at least one prediction, got none; record some events")
    plt = _matplotlib()
    sections = [(title, text, draw(plt, story)) for title, text, draw in _SECTIONS]
    return _page(story, [section for section in sections if section[2]])


# --- plots ---------------------------------------------------------------------------------------


def _matplotlib() -> Any:
    """Import matplotlib for drawing into memory, without a display and without its log of fonts."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - optional, and slow to import
        from matplotlib import pyplot as plt  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "matplotlib is needed for the report: pip install 'inhabit[report]'"
        ) from None
    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "inhabit",
            "font.size": 9.5,
            "font.family": "DejaVu Sans",  # comes with matplotlib; the page replaces it
            "text.color": _INK,
            "axes.labelcolor": _MUTED,
            "axes.edgecolor": _GRID,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": _GRID,
            "grid.linewidth": 0.6,
            "xtick.color": _MUTED,
            "ytick.color": _MUTED,
            "xtick.major.size": 0.0,
            "ytick.major.size": 0.0,
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
            "legend.fontsize": 9.0,
            "lines.solid_capstyle": "round",
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
        }
    )
    return plt


def _over_time(plt: Any, story: Story) -> str:
    """Draw the prediction of each day, the outcomes as ticks, the thresholds as bands."""
    asked = np.flatnonzero(story.scored)
    days, index = np.unique(story.days[asked], return_index=True)
    first = asked[index]
    if not len(first):
        return ""
    figure, axes = plt.subplots(figsize=(9.6, 3.4))
    low, high = story.thresholds
    axes.axhspan(0, low, color=_REMIND, alpha=0.07, linewidth=0)
    axes.axhspan(high, 1, color=_SUPPRESS, alpha=0.07, linewidth=0)
    if story.truth is not None:
        axes.plot(
            days, _smooth(story.truth[first]), color=_GOOD, linewidth=1.2, linestyle=(0, (4, 2)),
            label="truth (a simulated person has one), 7 days",
        )  # fmt: skip
    axes.plot(days, story.probability[first], color=_MODEL, linewidth=0.7, alpha=0.45)
    axes.plot(
        days, _smooth(story.probability[first]), color=_MODEL, linewidth=1.9,
        label="predicted in the morning; thick: 7 days",
    )  # fmt: skip
    axes.plot(days, story.base_rate[first], color=_BASE, linewidth=1.2, label="running base rate")
    done, missed = story.label[first] == 1, story.label[first] == 0
    axes.vlines(days[done], -0.085, -0.02, color=_GOOD, linewidth=1.1)
    axes.vlines(days[missed], -0.155, -0.09, color=_BAD, linewidth=1.1)
    axes.set_ylim(-0.17, 1.02)
    axes.set_yticks([0, low, high, 1], labels=_percents([0.0, low, high, 1.0]))
    axes.margins(x=0.01)
    figure.legend(loc="outside upper left", ncols=3)
    axes.grid(visible=False, axis="x")
    _dates(plt, axes)
    return _svg(plt, figure, "Predicted probability and outcome of each day")


def _loss(plt: Any, story: Story) -> str:
    """Draw the log loss over the last 28 days of both, and fill what was gained."""
    known = (story.label >= 0) & story.scored
    if known.sum() < 2:
        return ""
    figure, axes = plt.subplots(figsize=(9.6, 2.9))
    days, index = np.unique(story.days[known], return_inverse=True)
    curves = [
        _trailing(_log_loss(story.label[known], p[known]), index, len(days), 28)
        for p in (story.probability, story.base_rate)
    ]
    axes.plot(days, curves[1], color=_BASE, linewidth=1.4, label="running base rate")
    axes.plot(days, curves[0], color=_MODEL, linewidth=1.9, label="inhabit")
    better = curves[0] <= curves[1]
    axes.fill_between(days, curves[0], curves[1], where=better, color=_GOOD, alpha=0.13, lw=0)
    axes.fill_between(days, curves[0], curves[1], where=~better, color=_BAD, alpha=0.13, lw=0)
    axes.set_ylabel("log loss")
    axes.margins(x=0.01)
    figure.legend(loc="outside upper left", ncols=2)
    axes.grid(visible=False, axis="x")
    _dates(plt, axes)
    return _svg(plt, figure, "Log loss over time beside the running base rate")


def _reliability(plt: Any, story: Story) -> str:
    """Draw observed against predicted frequency in ten bins, with Wilson intervals."""
    known = story.label >= 0
    p, y = story.probability[known], story.label[known]
    if not len(p):
        return ""
    figure, axes = plt.subplots(figsize=(4.6, 4.3))
    bins = np.minimum((p * 10).astype(int), 9)
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (2, 2)))
    counts = np.bincount(bins, minlength=10)
    axes.bar(
        np.arange(10) / 10 + 0.05,
        0.22 * counts / counts.max(),
        width=0.092,
        color=_BASE,
        alpha=0.22,
    )
    for k in np.flatnonzero(counts):
        rate, n = y[bins == k].mean(), counts[k]
        low, high = _wilson(rate, int(n))
        x = p[bins == k].mean()
        axes.plot([x, x], [low, high], color=_MODEL, linewidth=1.3, alpha=0.7)
        axes.plot(x, rate, "o", color=_MODEL, markersize=4.0 + 5.0 * np.sqrt(n / counts.max()))
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="predicted", ylabel="came true")
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    axes.set_xticks(ticks, labels=_percents(ticks))
    axes.set_yticks(ticks, labels=_percents(ticks))
    axes.set_aspect("equal")
    return _svg(plt, figure, "Reliability diagram")


def _decisions(plt: Any, story: Story) -> str:
    """Draw how many decisions of each kind were made in each week."""
    if not len(story.actions):
        return ""
    figure, axes = plt.subplots(figsize=(9.6, 2.5))
    monday = np.busday_offset(story.days, 0, roll="backward", weekmask="1000000")
    weeks, index = np.unique(monday, return_inverse=True)
    bottom = np.zeros(len(weeks))
    for action, colour in (("remind", _REMIND), ("wait", _WAIT), ("suppress", _SUPPRESS)):
        count = np.bincount(index[story.actions == action], minlength=len(weeks)).astype(float)
        axes.bar(
            weeks,
            count,
            width=5.6,
            bottom=bottom,
            color=colour,
            label=action,
        )
        bottom += count
    axes.margins(x=0.01)
    axes.set_ylabel("a week")
    figure.legend(loc="outside upper left", ncols=3)
    axes.grid(visible=False, axis="x")
    _dates(plt, axes)
    return _svg(plt, figure, "Decisions by week")


def _learnt(plt: Any, story: Story) -> str:
    """Draw the effects of features beside the weights of the experts."""
    parts = [
        (values, colour, label, title)
        for values, colour, label, title in (
            (story.effects, _MODEL, "moves the prediction by, on average", "Effects of features"),
            (story.weights, _GOOD, "weight in the mixture", "Weights of experts"),
        )
        if values
    ]
    height = 0.7 + 0.27 * max((len(values) for values, *_ in parts), default=0)
    drawn = []
    for values, colour, label, title in parts:
        figure, axes = plt.subplots(figsize=(4.8, height))
        names = sorted(values, key=lambda name: values[name])
        sizes = [values[name] for name in names]
        axes.barh([name.replace("_", " ") for name in names], sizes, color=colour, height=0.62)
        for row, size in enumerate(sizes):
            axes.annotate(
                f"{100 * size:.1f} %", (size, row), (3, 0), textcoords="offset points",
                va="center", color=_MUTED, fontsize=8.5,
            )  # fmt: skip
        axes.set_xlabel(label)
        axes.set_xlim(0, 1.18 * max(*sizes, 1e-9))
        axes.xaxis.set_major_locator(plt.MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        drawn.append(_svg(plt, figure, title))
    return f"<div class=pair>{''.join(drawn)}</div>" if drawn else ""


def _percents(probabilities: Sequence[float]) -> list[str]:
    return [f"{100 * probability:.0f} %" for probability in probabilities]


def _smooth(values: NDArray[np.float64], width: int = 7) -> NDArray[np.float64]:
    """Centred moving average; shorter at both ends."""
    kernel = np.ones(min(width, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _trailing(
    values: NDArray[np.float64], index: NDArray[np.intp], days: int, width: int
) -> NDArray[np.float64]:
    """Mean over all values of the last ``width`` days that have any."""
    total = np.cumsum(np.bincount(index, weights=values, minlength=days))
    count = np.cumsum(np.bincount(index, minlength=days))
    for sums in (total, count):
        sums[width:] -= sums[:-width].copy()
    return np.asarray(total / np.maximum(count, 1))


def _log_loss(y: NDArray[np.int8], p: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(p, 0.01, 0.99)
    return np.asarray(-np.log(np.where(y == 1, clipped, 1.0 - clipped)))


def _wilson(rate: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a rate (Wilson 1927); unlike the textbook's it never leaves [0, 1]."""
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * float(np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return centre - half, centre + half


def _dates(plt: Any, axes: Any) -> None:
    """Label the time axis briefly, whatever the span."""
    dates = plt.matplotlib.dates
    locator = dates.AutoDateLocator(minticks=4, maxticks=13)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))


def _svg(plt: Any, figure: Any, title: str) -> str:
    """Return the figure as SVG for use inside a page: no namespace, no metadata, no identity."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r' id="[a-z]+[\w.]*_\d+"', "", text)  # figure_1 ... would repeat in every plot
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', r"\1\2", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"([^>]*?) height="[^"]*"', r"\1\2", text)
    text = text.replace("xlink:href", "href")
    for mark, variable in _VARIABLES.items():
        text = text.replace(mark, variable)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)


_SECTIONS: Final = (
    (
        "Probability and outcome",
        """What was predicted at the beginning of each day, before anybody knew. A reminder would
        help in the lower band, and be noise in the upper one. The ticks below are what happened:
        green for done, red for not done.""",
        _over_time,
    ),
    (
        "Loss against the base rate",
        """Mean log loss of the last 28 days (lower is better) beside that of always answering the
        share of days done so far.""",
        _loss,
    ),
    (
        "Calibration",
        """Of all times it said 70 %, about 70 % should come true: points on the diagonal. Bars show
        the 95 % interval, the shade below how often it was said.""",
        _reliability,
    ),
    ("Decisions", "What the policy made of the predictions, by week.", _decisions),
    (
        "What the model has learnt",
        "How much each feature moves the prediction, and how much each expert has to say.",
        _learnt,
    ),
)


# --- page ----------------------------------------------------------------------------------------

_STYLE: Final = """
:root { color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1f2328; --muted: #6a7078; --grid: #e4e2dc;
  --model: #3457d5; --base: #a0958a; --good: #2a8f62; --bad: #c4563a;
  --remind: #d98a1f; --wait: #b9bcc4; --suppress: #2a8f62; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #15171b; --card: #1d2026; --ink: #e8e6e1; --muted: #9aa0a8; --grid: #32363e;
  --model: #8ea6ff; --base: #a59a8d; --good: #5fc796; --bad: #ef8a6b;
  --remind: #f0b04f; --wait: #565b66; --suppress: #5fc796; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 3rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; letter-spacing: -0.015em; }
h2 { font-size: 1.15rem; margin: 0 0 .2rem; }
p { margin: .2rem 0 .8rem; color: var(--muted); max-width: 46rem; }
header p { font-size: 1.05rem; }
.note { border-left: 4px solid var(--remind); background: var(--card); color: var(--ink);
  padding: .7rem 1rem; border-radius: 0 .5rem .5rem 0; margin: 1.2rem 0; max-width: none; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  gap: .8rem; margin: 1.6rem 0; padding: 0; }
.figures div, section { background: var(--card); border: 1px solid var(--grid);
  border-radius: .8rem; }
.figures div { padding: .8rem 1rem; }
dt { color: var(--muted); font-size: .82rem; }
dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
section { padding: 1.2rem 1.3rem; margin: 1rem 0; }
svg { width: 100%; min-width: 34rem; height: auto; display: block; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
.pair svg { min-width: 0; }
section.narrow svg { min-width: 0; max-width: 28rem; margin: 0 auto; }
svg text { font-family: inherit !important; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .88rem; }
th, td { text-align: right; white-space: nowrap; padding: .3rem .6rem;
  border-bottom: 1px solid var(--grid); }
th { color: var(--muted); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; } details summary { cursor: pointer; font-weight: 600; }
footer { color: var(--muted); font-size: .85rem; margin-top: 2rem; }
"""


def _page(story: Story, sections: Sequence[tuple[str, str, str]]) -> str:
    """Put the parts together."""
    escape = html.escape
    note = f'<p class="note">{escape(story.note)}</p>' if story.note else ""
    figures = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in story.figures.items()
    )
    body = "".join(
        f"<section{' class=narrow' if title == 'Calibration' else ''}>"
        f"<h2>{escape(title)}</h2><p>{escape(text)}</p><div class=scroll>{plot}</div></section>\n"
        for title, text, plot in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(story.title)}</title>
<style>{_STYLE}</style>
</head>
<body><main>
<header><h1>{escape(story.title)}</h1><p>{escape(story.subtitle)}</p></header>
{note}<dl class="figures">{figures}</dl>
{body}{_table(story.table)}
<footer>Written by inhabit on this device. The page asks for nothing from anywhere.</footer>
</main></body>
</html>
"""


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return the table by week, which can be folded away."""
    if len(rows) < 2:
        return ""

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[1:])
    return (
        f"<section><details open><summary>By week</summary><div class=scroll><table><thead>"
        f"<tr>{cells(rows[0], 'th')}</tr></thead><tbody>{body}</tbody></table></div></details>"
        "</section>"
    )
