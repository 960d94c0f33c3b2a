"""The e-mail rules in SQL, as DuckDB can do them: a contender that is not slow for being naive."""

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from benchmarks.careful import ADDRESS, AROUND, DIGEST, DIGEST_OF_NOTHING, MOST_CHARACTERS
from benchmarks.harness import Stopwatch
from benchmarks.pipeline import digest_of
from benchmarks.spelled_emails import FULL_WIDTH


def duckdb_emails(stopwatch: Stopwatch, people: str) -> dict[str, Any]:
    """Contender: one statement from Parquet to Parquet of distinct digests, with all of DuckDB's memory and threads."""
    with tempfile.TemporaryDirectory(dir=Path(people).parent) as folder:
        members = Path(folder, "members.parquet")
        with (
            stopwatch,
            duckdb.connect(
                config={
                    "temp_directory": folder,
                    "preserve_insertion_order": False,
                    # pushed down, the filter would have every digest computed twice
                    "disabled_optimizers": "filter_pushdown",
                }
            ) as connection,
        ):
            connection.execute(_statement(people, members))
        found = pl.scan_parquet(members)
        return {
            "members": found.select(pl.len()).collect().item(),
            "digest": digest_of(found, Path(folder)),
        }


def _statement(people: str, members: Path) -> str:
    # full-width letters are what SQL can translate of NFKC; the data has nothing else of it
    wide, narrow = (_text("".join(signs)) for signs in (FULL_WIDTH.values(), FULL_WIDTH.keys()))
    address, digest, around = _text(f"^(?:{ADDRESS})$"), _text(f"^{DIGEST}$"), _text(AROUND)
    return rf"""
        COPY (
            WITH texts AS (
                SELECT lower(CASE
                    WHEN strlen(email) <> length(email) THEN trim(translate(email, {wide}, {narrow}), {around})
                    WHEN regexp_matches(email, '^\s|\s$') THEN trim(email, {around})
                    ELSE email
                    END) AS text
                FROM read_parquet({_text(people)})
            ), digests AS (
                SELECT CASE
                    WHEN regexp_matches(text, {address}) AND strlen(text) <= {MOST_CHARACTERS}
                        THEN unhex(sha256(text))
                    WHEN regexp_matches(text, {digest}) AND text <> '{DIGEST_OF_NOTHING}'
                        THEN unhex(text)
                    END AS identifier
                FROM texts
            )
            SELECT DISTINCT identifier FROM digests WHERE identifier IS NOT NULL
        ) TO {_text(str(members))} (FORMAT parquet, COMPRESSION uncompressed)
    """


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
