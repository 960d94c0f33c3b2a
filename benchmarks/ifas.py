"""Mobile ad ids from Parquet to a snapshot of distinct ones, which LINE takes unhashed: the pipeline beside a loop."""

import argparse

from benchmarks.harness import race, rates, table
from benchmarks.people import write_people

TITLE = "Mobile ad ids"

MOST_LOOPED = 10_000_000
"""Rows; a loop would hold every id of 100 million as text."""

PIPELINE = "the pipeline"
LOOP = "a plain loop"


def run(options: argparse.Namespace) -> str:
    """Measure, and say it in Markdown.

    Raises:
        ValueError: The two found different numbers of members.
    """
    rows: int = options.rows
    looped = min(rows, MOST_LOOPED)
    people = write_people("ifa", options.folder, rows=rows)
    measured = race(
        {
            PIPELINE: ["benchmarks.pipeline.hash_people", "ifa", str(people)],
            LOOP: ["benchmarks.loops.plain_ifas", str(people), str(looped)],
        },
        section=__name__,
        rounds=options.rounds,
    )
    members, looped_members = (measured[name].found["members"] for name in (PIPELINE, LOOP))
    if looped == rows and members != looped_members:
        raise ValueError(f"the pipeline found {members:,} members, the loop {looped_members:,}")
    measured[LOOP] = measured[LOOP].scaled(rows / looped)
    header, *figures = rates(measured, what=f"{rows:,} ids", rows=rows)
    sample = (
        "" if looped == rows else f" The loop ran over the first {looped:,} rows, and its times are scaled."
    )
    return (
        f"{table(header, figures)}\n\n"
        f"The pipeline is **{measured[LOOP].wall / measured[PIPELINE].wall:.2f}** times as fast as the loop, which "
        f"strips, checks the form and keeps one whatever the case; {members:,} members.{sample}"
    )
