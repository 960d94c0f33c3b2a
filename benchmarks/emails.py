"""E-mail addresses from Parquet to distinct digests: the pipeline beside a loop, DuckDB, and bare SHA-256."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from benchmarks.harness import Measured, cores, race, rates, table
from benchmarks.openssl import hash_rate
from benchmarks.people import write_people
from benchmarks.pipeline import RULES, segment_of
from line_ads_pipeline.identifiers.identify import normalise

TITLE = "E-mail addresses"

MOST_LOOPED = 10_000_000
"""Rows; a loop would hold every digest of 100 million as text, more than 20 GiB."""

PIPELINE = "the pipeline"
LOOP = "a plain loop over hashlib"
CAREFUL = "the loop with all rules"
SQL = "DuckDB SQL with all rules"
OPENSSL_SECONDS = 3


def run(options: argparse.Namespace) -> str:
    """Measure, and say it in Markdown.

    Raises:
        ValueError: Contenders that follow the same rules found other members.
    """
    rows: int = options.rows
    looped = min(rows, MOST_LOOPED)
    people = write_people("email", options.folder, rows=rows)
    measured = race(
        {
            PIPELINE: ["benchmarks.pipeline.hash_people", "email", str(people)],
            LOOP: ["benchmarks.loops.plain_emails", str(people), str(looped)],
            SQL: ["benchmarks.sql.duckdb_emails", str(people)],
        },
        section=__name__,
        rounds=options.rounds,
    ) | race(
        {CAREFUL: ["benchmarks.careful.careful_emails", str(people), str(looped)]}, section=__name__, rounds=1
    )
    same = (PIPELINE, SQL, CAREFUL) if looped == rows else (PIPELINE, SQL)
    check_same({name: measured[name] for name in same})
    for name in (LOOP, CAREFUL):
        measured[name] = measured[name].scaled(rows / looped)
    hashed, hashed_bytes = _hashed(people)
    limit = hash_rate(
        input_bytes=hashed_bytes, processes=cores(), seconds=OPENSSL_SECONDS, rounds=options.rounds
    )
    return told(measured, rows=rows, looped=looped, hashed=hashed, hashed_bytes=hashed_bytes, limit=limit)


def check_same(measured: Mapping[str, Measured]) -> None:
    """Make sure that all found the same members.

    Raises:
        ValueError: Two did not.
    """
    (first, expected), *others = ((name, one.found) for name, one in measured.items())
    for name, found in others:
        if (found["members"], found["digest"]) != (expected["members"], expected["digest"]):
            raise ValueError(
                f"{name} found {found['members']:,} members, digest {found['digest'][:16]}; {first} found "
                f"{expected['members']:,}, digest {expected['digest'][:16]}"
            )


def _hashed(people: Path) -> tuple[int, int]:
    """How many rows are hashed, and the usual length of what is hashed."""
    with segment_of(str(people), "email") as segment:
        hashed = normalise(segment, "email", RULES["email"]).filter(pl.col("outcome") == "hashed")
        length = pl.col("normalised").str.len_bytes()
        count, mean = hashed.select(pl.len(), length.mean()).collect(engine="streaming").row(0)
    return count, round(mean)


def told(  # noqa: PLR0913 - what was measured, keyword-only
    measured: Mapping[str, Measured],
    *,
    rows: int,
    looped: int,
    hashed: int,
    hashed_bytes: int,
    limit: float | None,
) -> str:
    """What the figures of so many rows say, in Markdown; `limit` is in digests a second, None without openssl."""
    header, *figures = rates(measured, what=f"{rows:,} addresses", rows=rows)
    wall = measured[PIPELINE].wall
    found = measured[PIPELINE].found
    if limit is None:
        beside_limit = "There is no OpenSSL here, so how near this is to the limit is not told."
    else:
        figures.append(["openssl speed: SHA-256 alone", f"{hashed / limit:.2f}", f"{limit:,.0f}", "", ""])
        beside_limit = (
            f"It makes {hashed:,} digests, the other rows being skipped or hashed already: **{hashed / wall / limit:.0%}** of what `openssl speed` hashes on {cores()} cores, {hashed_bytes} "
            "bytes at a time as here (goal 20%, at least 12%)."
        )
    sample = (
        ""
        if looped == rows
        else f" The loops ran over the first {looped:,} rows, and their times are scaled."
    )
    return (
        f"{table(header, figures)}\n\n"
        f"The pipeline is **{measured[LOOP].wall / wall:.2f}** times as fast as the plain loop (goal 5, at least 3.5) "
        f"and **{measured[SQL].wall / wall:.2f}** times as fast as DuckDB (goal 1.5, at least 1.2). {beside_limit} "
        f"With its rules in the loop too, that takes {measured[CAREFUL].wall / wall:.1f} times as long as the pipeline."
        f"{sample}\n\n"
        f"All read the same Parquet file. Those with all rules end with the same {found['members']:,} members, by "
        f"the digest `{found['digest'][:16]}…` of all of them, which is compared in every run; {found['duplicates']:,} "
        f"rows were duplicates. The plain loop strips, lower-cases and hashes whatever it finds, as Megalista, "
        f"Tightlock and drt do, and makes {measured[LOOP].found['members']:,} digests of it; the loop with all rules ran "
        "once. DuckDB has its own defaults for memory and threads, need not keep the order, writes uncompressed Parquet, "
        "trims only where there is something to trim, and computes nothing twice. Of NFKC it translates the full-width "
        "forms, which are all that the data has of it; ligatures, half-width kana and the like SQL could not."
    )
