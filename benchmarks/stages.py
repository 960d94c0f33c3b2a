"""Where the time goes: the plan for e-mail addresses cut off after each stage, so that differences tell each."""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from benchmarks.harness import Measured, Stopwatch, cores, race, table
from benchmarks.people import write_people
from benchmarks.pipeline import RULES, segment_of
from line_ads_pipeline.identifiers import identify, new_threads
from line_ads_pipeline.identifiers.identify import normalise
from line_ads_pipeline.store import Store

TITLE = "Where the time goes"

SPREAD = "apart by first bits, to scratch files"
MERGE = "sort, keep one of each, write"

TRIED = (
    "Tried without a gain beyond the noise: more Polars threads than cores, an interpreter that switches threads more "
    "often, digests left in any order, case-insensitive and simpler patterns in place of the grammar."
)
"""What the figures do not show, from the same machine."""

_BATCH_ROWS = 1 << 16
"""As the store asks for."""


def _normalised(segment: pl.LazyFrame, _threads: Executor) -> pl.LazyFrame:
    return normalise(segment, "email", RULES["email"])


def _identified(segment: pl.LazyFrame, threads: Executor) -> pl.LazyFrame:
    return identify(segment, "email", RULES["email"], threads=threads)


PLANS: Final[Mapping[str, Callable[[pl.LazyFrame, Executor], pl.LazyFrame]]] = MappingProxyType(
    {
        "read Parquet": lambda segment, _threads: segment,
        "normalise, check the grammar": _normalised,
        "SHA-256": _identified,
    }
)
"""The plan up to each stage, in their order."""


def read_through(stopwatch: Stopwatch, people: str, stage: str) -> None:
    """Contender: all rows, in batches as the store takes them, up to a stage of `PLANS`, and thrown away."""
    with stopwatch, new_threads() as threads, segment_of(people, "email") as segment:
        for _ in PLANS[stage](segment, threads).collect_batches(
            chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming"
        ):
            pass


def store(stopwatch: Stopwatch, people: str) -> dict[str, float]:
    """Contender: all of it; tells which part had passed when the last batch came to the store, and sorting was left."""
    wall = cpu = 0.0

    def pass_through(outcomes: pl.Series) -> pl.Series:
        nonlocal wall, cpu
        wall, cpu = time.perf_counter(), time.process_time()
        return outcomes

    with tempfile.TemporaryDirectory(dir=Path(people).parent) as folder, stopwatch:
        began = time.perf_counter(), time.process_time()
        with new_threads() as threads, segment_of(people, "email") as segment:
            noted = _identified(segment, threads).with_columns(
                pl.col("outcome").map_batches(pass_through, return_dtype=pl.self_dtype(), is_elementwise=True)
            )
            Store(folder).write_snapshot("people", noted, record_width=RULES["email"].record_width)
    return {"wall": (wall - began[0]) / stopwatch.wall, "cpu": (cpu - began[1]) / stopwatch.cpu}


def run(options: argparse.Namespace) -> str:
    """Measure, and say it in Markdown."""
    people = write_people("email", options.folder, rows=options.rows)
    measured = race(
        {stage: ["read_through", str(people), stage] for stage in PLANS} | {MERGE: ["store", str(people)]},
        section=__name__,
        rounds=options.rounds,
    )
    return told(measured, rows=options.rows)


def told(measured: Mapping[str, Measured], *, rows: int) -> str:
    """What the figures of so many rows say, in Markdown."""
    whole = measured[MERGE]
    until = {name: (one.cpu, one.wall) for name, one in measured.items() if name != MERGE}
    until[SPREAD] = whole.cpu * whole.found["cpu"], whole.wall * whole.found["wall"]
    until[MERGE] = whole.cpu, whole.wall
    taken = {}
    before = (0.0, 0.0)
    for stage, (cpu, wall) in until.items():
        taken[stage] = cpu - before[0], wall - before[1]
        before = cpu, wall
    figures = [
        [stage, f"{cpu:.2f}", f"{cpu / whole.cpu:.0%}", f"{wall:.2f}", f"{wall / whole.wall:.0%}"]
        for stage, (cpu, wall) in taken.items()
    ]
    figures.append(["all", f"{whole.cpu:.2f}", "", f"{whole.wall:.2f}", ""])
    header = [f"{rows:,} addresses", "CPU s", "of all CPU", "wall s", "of all wall"]
    most_cpu = max(taken, key=lambda stage: taken[stage][0])
    most_wall = max(taken, key=lambda stage: taken[stage][1])
    on_the_clock = "and on the clock too" if most_wall == most_cpu else f"on the clock it is “{most_wall}”"
    return (
        f"{table(header, figures)}\n\n"
        f"Each stage is what the plan takes up to it, in a process of its own, less what it takes up to the one before; "
        "up to the second it also puts the texts back in their order, which the whole does not. "
        f"The next limit is “{most_cpu}” with **{taken[most_cpu][0] / whole.cpu:.0%}** of the CPU time, "
        f"{on_the_clock}; {whole.cpu / whole.wall:.1f} of {cores()} cores are busy over all. {TRIED}"
    )
