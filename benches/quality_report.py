"""What `quality.py` shows: tables, verdicts on the bars of the project, and a plot."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

import quality_metrics as metrics
from quality_metrics import Array, Rows

Measures = Mapping[str, Mapping[str, Mapping[str, float]]]  # by task, predictor, measure
Losses = Mapping[str, Mapping[str, Array]]  # of the scored rows, by task and predictor


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figure(value: float, digits: int = 3) -> str:
    """``.123`` instead of ``0.123``; a dash where there is nothing to measure."""
    if value != value:
        return "-"
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    return f"{value:+.{digits}f}".replace("0.", ".", 1)


def interval(measures: Mapping[str, float], name: str) -> str:
    low, high = measures[f"{name}_low"], measures[f"{name}_high"]
    return f"{signed(measures[name])} [{signed(low)}, {signed(high)}]"


def by_predictor(results: Measures, measure: str, predictors: Sequence[str]) -> str:
    """One measure: tasks down, predictors across, the lowest in bold."""
    rows = []
    for task, own in results.items():
        shown = [name for name in predictors if name in own]
        best = min(own[name][measure] for name in shown)
        cells = []
        for name in predictors:
            text = figure(own[name][measure]) if name in own else "-"
            cells.append(f"**{text}**" if name in own and own[name][measure] <= best else text)
        rows.append([task, *cells])
    return table(["task", *predictors], rows)


def rich_table(results: Measures, measure: str, predictors: Sequence[str]) -> Table:
    """The same for the terminal, predictors down."""
    shown = Table("log loss over rows", *(task.replace("_", "\n", 1) for task in results))
    for name in predictors:
        values = {task: own[name][measure] for task, own in results.items()}
        best = {task: min(own[p][measure] for p in predictors) for task, own in results.items()}
        cells = (
            f"[bold]{figure(v)}[/]" if v <= best[task] else figure(v) for task, v in values.items()
        )
        shown.add_row(name, *cells)
    return shown


def profile(results: Measures, predictor: str) -> str:
    """All measures of one predictor, one line per task."""
    header = ["task", "log loss", "people", "Brier", "AUC", "within", "ECE", "by chance"]
    header += ["against base", "against mix_local", "against mix_all"]
    rows = []
    for task, own in results.items():
        m = own[predictor]
        names = (
            "log_loss",
            "log_loss_people",
            "brier",
            "auc",
            "auc_within",
            "ece",
            "ece_by_chance",
        )
        differences = (interval(m, f"vs_{rival}") for rival in ("base", "mix_local", "mix_all"))
        rows.append([task, *(figure(m[name]) for name in names), *differences])
    return table(header, rows)


def by_history(results: Measures, predictors: Sequence[str]) -> str:
    """Log loss by amount of own history."""
    rows = []
    for task, own in results.items():
        for part in metrics.HISTORY:
            values = [own[name][f"log_loss[{part}]"] for name in predictors]
            if any(value == value for value in values):
                rows.append([task, part, *map(figure, values)])
    return table(["task", "own steps so far", *predictors], rows)


def verdicts(results: Measures, rows: Mapping[str, Rows]) -> Iterator[tuple[str, bool, str]]:
    """The bars: what is asked, whether it holds, and the figures."""

    def excess(predictor: str, rival: str, measure: str = "log_loss") -> dict[str, float]:
        return {
            task: own[predictor][measure] - own[rival][measure] for task, own in results.items()
        }

    def worst(values: Mapping[str, float]) -> str:
        task = max(values, key=lambda name: values[name])
        return f"worst {signed(values[task], 4)} ({task})"

    def at_most(values: Mapping[str, float]) -> int:
        return sum(value <= 0 for value in values.values())

    n = len(results)
    cold = excess("inhabit_cold", "mix_local")
    yield (
        "without a prior: at most `mix_local` in all tasks but one, nowhere worse by over .003",
        at_most(cold) >= n - 1 and max(cold.values()) <= 0.003,
        f"{at_most(cold)} of {n}, {worst(cold)}",
    )
    warm = excess("inhabit", "mix_all")
    clear = sum(own["inhabit"]["vs_mix_all_high"] < 0 for own in results.values())
    yield (
        "with the prior: at most `mix_all` in all tasks but one, clearly lower in half of them",
        at_most(warm) >= n - 1 and clear >= n / 2,
        f"{at_most(warm)} of {n}, clearly in {clear}, {worst(warm)}",
    )
    early = {
        task: value
        for task, value in excess("inhabit", "base", "log_loss[7-20]").items()
        if value == value
    }
    yield (
        "with the prior, 7-20 own steps: never worse than the running base rate",
        at_most(early) == len(early),
        f"{at_most(early)} of {len(early)}, {worst(early)}",
    )
    foreign = excess("inhabit_foreign", "mix_local")
    yield (
        "prior from other data sets only: at most `mix_local` in all tasks",
        at_most(foreign) == n,
        f"{at_most(foreign)} of {n}, {worst(foreign)}",
    )
    ece = {t: own["inhabit"]["ece"] for t, own in results.items() if len(rows[t].label) > 1000}
    if ece:
        task = max(ece, key=lambda name: ece[name])
        yield (
            "calibration: ECE at most .03 on every task with more than 1,000 scored rows",
            ece[task] <= 0.03,
            f"largest {figure(ece[task])} ({task})",
        )
    networks = excess("inhabit", "no_networks")
    yield (
        "the networks earn their place: the mixture is better with them than without, on average",
        sum(networks.values()) < 0,
        (
            f"lower in {sum(v < 0 for v in networks.values())} of {n}, "
            f"mean {signed(sum(networks.values()) / n, 4)}, {worst(networks)}"
        ),
    )


def verdict_table(judged: Sequence[tuple[str, bool, str]]) -> str:
    return table(
        ["asked", "holds", "figures"],
        [[asked, "yes" if holds else "**no**", figures] for asked, holds, figures in judged],
    )


def write_between_markers(path: Path, name: str, text: str) -> None:
    """Replace what stands between two markers of a file; add them at its end if missing."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = f"{begin}\n{text.strip()}\n{end}"
    old = path.read_text() if path.exists() else "# Benchmarks\n"
    if begin in old and end in old:
        before, rest = old.split(begin, 1)
        new = before + block + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{block}\n"
    path.write_text(new)


def plot(
    losses: Losses,
    predictions: Mapping[str, Mapping[str, Array]],
    rows: Mapping[str, Rows],
    shown: Sequence[str],
    path: Path,
) -> None:
    """Per task: the difference to the base rate with its interval, and the reliability."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure_, axes = plt.subplots(2, len(losses), figsize=(3.1 * len(losses), 7), squeeze=False)
    colors = dict(zip(shown, plt.get_cmap("tab10").colors, strict=False))
    for column, (task, own) in enumerate(losses.items()):
        above, below = axes[0, column], axes[1, column]
        for place, name in enumerate(reversed(shown)):
            mean, low, high = metrics.difference(own[name], own["base"], rows[task])
            above.errorbar(
                mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=colors[name]
            )
        above.axvline(0, color="0.6", lw=1)
        above.set_yticks(range(len(shown)), list(reversed(shown)) if column == 0 else [])
        above.set_title(task, fontsize=9)
        above.set_xlabel("log loss against base", fontsize=8)
        below.plot([0, 1], [0, 1], color="0.6", lw=1)
        for name in ("base", "mix_all", "inhabit"):
            if name in predictions[task]:
                predicted, observed, _ = metrics.reliability(
                    predictions[task][name], rows[task].label
                )
                below.plot(predicted, observed, "o-", ms=3, lw=1, label=name, color=colors[name])
        below.set_xlabel("predicted", fontsize=8)
        below.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        if column == 0:
            below.set_ylabel("observed", fontsize=8)
            below.legend(fontsize=7)
    figure_.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure_.savefig(path, dpi=110)
    plt.close(figure_)


def as_json(results: Any) -> Any:
    """Results with nan as None, because JSON has no nan."""
    if isinstance(results, Mapping):
        return {key: as_json(value) for key, value in results.items()}
    if isinstance(results, float):
        return None if results != results else results
    return results
