"""What e-mail addresses cost from few to many: time and memory against rows, as a table and a plot."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import MEBIBYTE, Measured, race, table
from benchmarks.people import write_people

TITLE = "From few to many"
PLOT = "scaling.svg"

STEPS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Sizes, as parts of the largest."""
MOST_MEMORY = 1536
"""MiB, the goal for 100 million rows."""


def run(options: argparse.Namespace) -> str:
    """Measure, draw the plot beside the results, and say it in Markdown."""
    sizes = [round(options.scale * step) for step in STEPS]
    contenders = {}
    for rows in sizes:
        people = write_people("email", options.folder, rows=rows)
        contenders[f"{rows:,}"] = ["benchmarks.pipeline.hash_people", "email", str(people)]
    measured = race(contenders, section=__name__, rounds=options.rounds)
    by_rows = dict(zip(sizes, measured.values(), strict=True))
    plot(by_rows, options.results.with_name(PLOT))
    return told(by_rows)


def told(measured: Mapping[int, Measured]) -> str:
    """What the figures by rows say, in Markdown."""
    rows = [
        [
            f"{size:,}",
            f"{one.wall:.2f}",
            f"{one.wall / size * 1e6:.2f}",
            f"{one.cpu:.2f}",
            f"{one.peak_bytes / MEBIBYTE:,.0f}",
        ]
        for size, one in measured.items()
    ]
    header = ["rows", "wall s", "wall s a million", "CPU s", "peak MiB"]
    *_, tenth, _, most = measured
    return (
        f"{table(header, rows)}\n\n"
        f"![Time and memory against rows]({PLOT})\n\n"
        f"{most:,} rows take **{measured[most].wall / measured[tenth].wall:.1f}** times as long as {tenth:,} (goal at "
        f"most 12 from 10 to 100 million), and the whole process holds at most "
        f"**{measured[most].peak_bytes / MEBIBYTE:,.0f} MiB** (goal at most {MOST_MEMORY:,} at 100 million). On disk "
        "are the result, 32 bytes a member, and while it is made as much again."
    )


def plot(measured: Mapping[int, Measured], path: Path) -> None:
    """Draw time and memory against rows, as an SVG that is the same for the same figures."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only needed here
    from matplotlib.figure import Figure  # noqa: PLC0415

    sizes = list(measured)
    walls = [one.wall for one in measured.values()]
    peaks = [one.peak_bytes / MEBIBYTE for one in measured.values()]
    with mpl.rc_context({"svg.hashsalt": "scaling", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        time_axes, memory_axes = figure.subplots(1, 2)
        time_axes.loglog(sizes, walls, marker="o", label="measured")
        proportional = [walls[-1] * size / sizes[-1] for size in sizes]
        time_axes.loglog(sizes, proportional, linestyle=":", color="gray", label="in proportion to rows")
        time_axes.set(title="Time", xlabel="rows", ylabel="seconds")
        memory_axes.semilogx(sizes, peaks, marker="o", label="measured")
        memory_axes.axhline(MOST_MEMORY, linestyle=":", color="gray", label="goal at 100 million rows")
        memory_axes.set(title="Peak memory", xlabel="rows", ylabel="MiB")
        memory_axes.set_ylim(bottom=0)
        for axes in (time_axes, memory_axes):
            axes.legend(frameon=False)
            axes.grid(alpha=0.3)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
