"""Messy Japanese phone numbers from Parquet to distinct digests: the pipeline beside a loop over `phonenumbers`."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import polars as pl

from benchmarks.harness import Measured, Stopwatch, race, rates, table
from benchmarks.people import write_people
from benchmarks.pipeline import hash_people
from line_ads_pipeline.identifiers.phone_library import Reading, read_with_library

TITLE = "Phone numbers"

SAMPLE = 500_000
"""Rows of the loop, which would take minutes for all."""

PIPELINE = "the pipeline"
EMAILS = "the pipeline, e-mail addresses"
LOOP = "a loop over phonenumbers"


def count_left_open(stopwatch: Stopwatch, people: str) -> dict[str, Any]:
    """Contender, not for its time: how many rows reach the library, since the vectorised rules left them open."""
    left_open: list[int] = []

    def counted(texts: pl.Series, look_up: Callable[[str], Reading]) -> pl.Series:
        left_open.append(len(texts) - texts.null_count())
        return read_with_library(texts, look_up)

    with patch("line_ads_pipeline.identifiers.phone.read_with_library", counted):
        found = hash_people(stopwatch, "phone", people)
    written = pl.col("phone").str.strip_chars() != ""
    rows = pl.scan_parquet(people).select(written.sum()).collect(engine="streaming").item()
    return found | {"left_open": sum(left_open), "written": rows}


def run(options: argparse.Namespace) -> str:
    """Measure, and say it in Markdown."""
    rows: int = options.rows
    sampled = min(rows, SAMPLE)
    people = write_people("phone", options.folder, rows=rows)
    addresses = write_people("email", options.folder, rows=rows)
    measured = race(
        {
            PIPELINE: ["benchmarks.pipeline.hash_people", "phone", str(people)],
            EMAILS: ["benchmarks.pipeline.hash_people", "email", str(addresses)],
            LOOP: ["benchmarks.loops.library_phones", str(people), str(sampled)],
        },
        section=__name__,
        rounds=options.rounds,
    )
    measured[LOOP] = measured[LOOP].scaled(rows / sampled)
    counted = race({"counting": ["count_left_open", str(people)]}, section=__name__, rounds=1)[
        "counting"
    ].found
    return told(measured, rows=rows, sampled=sampled, counted=counted)


def told(measured: Mapping[str, Measured], *, rows: int, sampled: int, counted: Mapping[str, int]) -> str:
    """What the figures of so many rows say, in Markdown."""
    wall = measured[PIPELINE].wall
    header, *figures = rates(measured, what=f"{rows:,} numbers", rows=rows)
    return (
        f"{table(header, figures)}\n\n"
        f"The pipeline is **{measured[LOOP].wall / wall:.1f}** times as fast as the loop (goal 30) and takes "
        f"**{wall / measured[EMAILS].wall:.2f}** times as long as for as many e-mail addresses (goal at most 2.5). "
        f"The loop ran over the first {sampled:,} rows: its times are scaled, its memory is not. It reads, validates, "
        "formats and hashes each number by itself. Of the numbers that are not blank the vectorised rules decide "
        f"**{1 - counted['left_open'] / counted['written']:.2%}**, and the library is asked for the rest; "
        f"{measured[PIPELINE].found['members']:,} members remain."
    )
