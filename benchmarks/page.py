"""Write the documentation's page of figures from what ``python -m benchmarks --json FILE`` kept.

``python -m benchmarks.page FILE ...`` writes ``docs/reference/benchmarks.md`` and its plots; of a
benchmark that several files hold, the last one's figures.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs" / "reference"
PAIRS = "benchmarks-telemetry.svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A column of one of a benchmark's tables as bars.

    Attributes:
        file: Where it is kept.
        table: The number of the table.
        column: The column.
        label: What its values are.
        title: What the picture shows, for those who do not see it.
        named: Columns that name a bar.
        form: How a value is written.
        peers: Whether the bars are of several who do the same; else all are ours.
    """

    file: str
    table: int
    column: str
    label: str
    title: str
    named: tuple[str, ...] = ()
    form: str = "%.0f"
    peers: bool = True


PLOTS = {
    "llm_call": (
        Plot(
            file="benchmarks-llm-call.svg",
            table=0,
            column="32",
            label="CPU microseconds a chat call, concurrency 32",
            title="CPU of a chat call beside other clients",
        ),
    ),
    "database": (
        Plot(
            file="benchmarks-database.svg",
            table=0,
            column="ratio",
            label="times a bare pool's fetch of the same statement",
            title="What a judged and bounded read costs beside a bare one",
            named=("statement", "tasks"),
            form="%.2f",
            peers=False,
        ),
    ),
    "vectors": (
        Plot(
            file="benchmarks-vectors-recall.svg",
            table=3,
            column="recall",
            label="share of the ten nearest that are found, at the defaults",
            title="Recall of searches by how much a filter leaves",
            form="%.3f",
            peers=False,
        ),
    ),
    "cache": (
        Plot(
            file="benchmarks-cache-hit.svg",
            table=0,
            column="ns",
            label="CPU nanoseconds a hit",
            title="A hit beside other caches",
        ),
        Plot(
            file="benchmarks-cache-miss.svg",
            table=1,
            column="ns",
            label="CPU nanoseconds a miss, its load and its store",
            title="A miss beside other caches",
        ),
    ),
    "semantic_cache": (
        Plot(
            file="benchmarks-semantic-cache.svg",
            table=0,
            column="hits",
            label="share of questions answered without loading, with at most 1 % false",
            title="Hits by meaning beside the best thresholds",
            form="%.3f",
        ),
    ),
    "vector_peers": (
        Plot(
            file="benchmarks-vector-load.svg",
            table=0,
            column="rows a second",
            label="rows loaded a second",
            title="Loading vectors beside other packages",
        ),
        Plot(
            file="benchmarks-vector-search.svg",
            table=1,
            column="alone",
            label="microseconds a search",
            title="Searching vectors beside other packages",
        ),
    ),
}

INTRODUCTION = """# Benchmarks

Every peer runs at its best documented settings, in the same run and on the same machine, each
client in a process of its own, in turn; the server has one core, the clients another. Times mean
little elsewhere; ratios mean more. Where a claim fails, or a peer is better, the table says so. The
figures below are of a slow machine with two shared cores; those of a quick run say so.

```sh
.venv/bin/python -m benchmarks --json figures.json   # or one by name; --quick is rougher
.venv/bin/python -m benchmarks.page figures.json     # writes this page
```

Peers that pin other versions of the openai package get environments of their own on first use.
"""


def main(*paths: str) -> None:
    """Write the page and the plots."""
    results: dict[str, dict] = {}
    for path in paths:
        document = json.loads(Path(path).read_text())
        for result in document["results"]:
            results[result["name"]] = {**result, "quick": document["quick"]}
    parts = [INTRODUCTION]
    for _, result in sorted(results.items()):
        parts.append(_section(result))
        if result["name"] == "telemetry":
            _plot_pairs(result["tables"][0])
        for plot in _plots(result):
            _draw(plot, result["tables"][plot.table])
    (DOCS / "benchmarks.md").write_text("\n".join(parts))


def _plots(result: dict) -> list[Plot]:
    """Return the plots of a benchmark; without its data it has a table that says so instead."""
    tables = result["tables"]
    return [
        plot
        for plot in PLOTS.get(result["name"], ())
        if plot.table < len(tables) and plot.column in tables[plot.table]["columns"]
    ]


def _section(result: dict) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    quick = " --quick" if result["quick"] else ""
    beside = f" with {versions}" if versions else ""
    lines = [
        f"## {result['name']}",
        "",
        f"`python -m benchmarks {result['name']}{quick}`{beside}.",
    ]
    if result["name"] == "telemetry":
        lines += ["", f"![A line, a series and a span beside their peers]({PAIRS})"]
    for plot in _plots(result):
        lines += ["", f"![{plot.title}]({plot.file})"]
    for table in result["tables"]:
        lines += ["", f"**{table['title']}**", "", _row(table["columns"])]
        lines += [_row(["---"] * len(table["columns"])), *map(_row, table["rows"])]
    lines += ["", "| claim | value | bar | |", "|---|---|---|---|"]
    for claim in result["claims"]:
        verdict = "holds" if claim["holds"] else "**fails**"
        bar = f"{claim['op']} {claim['bar']}"
        lines.append(f"| {claim['name']} | {claim['value']:.4g} | {bar} | {verdict} |")
    return "\n".join([*lines, ""])


def _row(cells: list) -> str:
    return "| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |"


def _draw(plot: Plot, table: dict) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = PAIRS  # else every picture differs from its last edition
    import matplotlib.pyplot as plt

    columns = table["columns"]
    at = columns.index(plot.column)
    named = [columns.index(column) for column in plot.named or columns[:1]]
    bars_of = [(_name(table, row, named), float(row[at])) for row in table["rows"]]
    rows = sorted(bars_of, key=lambda row: -row[1]) if plot.peers else bars_of[::-1]
    names, values = zip(*rows, strict=True)
    theirs = [plot.peers and not name.startswith("agentinfra") for name in names]
    colors = ["#b0b7bf" if other else "#2f6f4f" for other in theirs]
    figure, axes = plt.subplots(figsize=(7, 0.4 * len(rows) + 0.9))
    bars = axes.barh(names, values, color=colors)
    axes.bar_label(bars, fmt=plot.form, padding=3)
    axes.set_xlabel(plot.label)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(DOCS / plot.file, metadata={"Date": None})


def _name(table: dict, row: list, named: list[int]) -> str:
    """Return what a bar is called: its first cell, and further ones with their column's name."""
    first, *more = named
    return ", ".join([str(row[first]), *(f"{row[at]} {table['columns'][at]}" for at in more)])


def _plot_pairs(table: dict) -> None:
    """Show what each thing costs, of what it costs the peer it is set beside."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = PAIRS  # else every picture differs from its last edition
    import matplotlib.pyplot as plt

    rows = [(row[0], row[1], row[2], float(row[3])) for row in reversed(table["rows"])]
    labels = [f"{name}\n{ours} us of {theirs} us" for name, ours, theirs, _ in rows]
    ratios = [ratio for *_, ratio in rows]
    figure, axes = plt.subplots(figsize=(7, 0.55 * len(rows) + 0.9))
    bars = axes.barh(labels, ratios, color="#2f6f4f")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1.0, color="#6b737b", linewidth=1, linestyle="--")
    axes.set_xlabel("agentinfra's time, of the peer's")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(DOCS / PAIRS, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
