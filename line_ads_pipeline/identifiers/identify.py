"""From a column of raw values to identifiers that LINE understands."""

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, assert_never

import numpy as np
import polars as pl

from line_ads_pipeline.identifiers.digests import as_column, digests_of_hex, sha256
from line_ads_pipeline.identifiers.email import email_reader
from line_ads_pipeline.identifiers.ifa import ifa_reader
from line_ads_pipeline.identifiers.outcomes import OUTCOME_DTYPE, OUTCOMES
from line_ads_pipeline.identifiers.phone import phone_reader
from line_ads_pipeline.identifiers.rules import SHA256_BYTES, EmailRules, IfaRules, PhoneRules, Rules
from line_ads_pipeline.identifiers.stages import READING_DTYPE, Reader
from line_ads_pipeline.identifiers.text import as_text

_SLICE_ROWS: Final = 1 << 16
"""So many rows at a time are worked on, whatever the source's batches are: what is between costs half a KiB a row."""

_DIGESTS_OF: Final = (
    (OUTCOMES.index("hashed"), sha256),
    (OUTCOMES.index("already_hashed"), digests_of_hex),
)
"""What makes digests of the texts of an outcome, by its number."""

_IDENTIFIED_DTYPE: Final = pl.Struct({"identifier": pl.Binary, "outcome": OUTCOME_DTYPE})


def new_threads() -> Executor:
    """Threads to identify in, as many as Polars has, until they are closed by `with`."""
    return ThreadPoolExecutor(pl.thread_pool_size(), thread_name_prefix="identify")


def identify(
    segment: pl.LazyFrame, column: str, rules: Rules, *, threads: Executor | None = None
) -> pl.LazyFrame:
    """Turn each raw value of a column into an identifier, or tell why not.

    The plan is elementwise, so it streams: one row out for each row in, in their order, nothing but these columns.

    - `identifier` (Binary): the 32 bytes of a SHA-256 digest, or the 36 ASCII bytes of a mobile ad id; NULL when
      the row is skipped.
    - `outcome` (Enum of `OUTCOMES`): `hashed`, `already_hashed`, `as_is` for a mobile ad id sent unhashed, or one
      of `SKIP_REASONS`.

    Args:
        segment: Of any columns.
        column: Of raw values.
        rules: What identifiers they are, and how LINE is to get them.
        threads: Where to work; None for wherever Polars calls. Each thread keeps the memory that it once needed, and the
            streaming engine calls from more of them than work at a time. With them the plan is collected by that engine
            alone: `collect()` without `engine="streaming"` may hang, since each would wait for the other's threads.

    Raises:
        UnsupportedIdentifierColumn: The column's type cannot hold identifiers safely.
        polars.exceptions.ColumnNotFoundError: The segment has no such column.
    """
    texts = _texts(segment, column)
    read = _reader(rules)
    finish = _hashed if not isinstance(rules, IfaRules) or rules.hash_ifa else _as_is

    def identify_slice(rows: pl.DataFrame) -> pl.DataFrame:
        return finish(read(_numbered(rows.to_series())))

    def identify_batch(batch: pl.Series) -> pl.Series:
        slices = batch.to_frame().iter_slices(_SLICE_ROWS) if len(batch) > _SLICE_ROWS else [batch.to_frame()]
        if threads is None:
            return pl.concat(map(identify_slice, slices)).to_struct()
        return pl.concat([threads.submit(identify_slice, each).result() for each in slices]).to_struct()

    identified = pl.col("text").map_batches(
        identify_batch, return_dtype=_IDENTIFIED_DTYPE, is_elementwise=True
    )
    return texts.select(identified=identified).select(pl.col("identified").struct.unnest())


def normalise(segment: pl.LazyFrame, column: str, rules: Rules) -> pl.LazyFrame:
    """The step before hashing: `normalised` (the text that is hashed or sent, or a digest given) and `outcome`.

    These are raw identifiers still: never let them leave memory.

    Raises:
        UnsupportedIdentifierColumn: The column's type cannot hold identifiers safely.
        polars.exceptions.ColumnNotFoundError: The segment has no such column.
    """
    texts = _texts(segment, column)
    read = _reader(rules)

    def normalise_batch(batch: pl.Series) -> pl.Series:
        return read(_numbered(batch)).sort("row").drop("row").to_struct()

    reading = pl.col("text").map_batches(normalise_batch, return_dtype=READING_DTYPE, is_elementwise=True)
    return texts.select(reading=reading).select(pl.col("reading").struct.unnest())


def _texts(segment: pl.LazyFrame, column: str) -> pl.LazyFrame:
    schema = segment.collect_schema()
    if column not in schema:
        raise pl.exceptions.ColumnNotFoundError(f"no column {column!r} among {', '.join(schema.names())}")
    return segment.select(text=as_text(column, schema[column]))


def _reader(rules: Rules) -> Reader:
    match rules:
        case EmailRules():
            return email_reader(rules)
        case PhoneRules():
            return phone_reader(rules)
        case IfaRules():
            return ifa_reader(rules)
        case _:
            assert_never(rules)


def _numbered(texts: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True), "text": texts})


def _as_is(reading: pl.DataFrame) -> pl.DataFrame:
    return reading.sort("row").select(identifier=pl.col("normalised").cast(pl.Binary), outcome="outcome")


def _hashed(reading: pl.DataFrame) -> pl.DataFrame:
    """The rows of a reading in their order, hashed."""
    rows, outcomes = reading["row"].to_numpy(), reading["outcome"].to_physical().to_numpy()
    digests = [np.zeros((1, SHA256_BYTES), dtype=np.uint8)]  # the first stands for none
    places = np.zeros(len(reading), dtype=np.intp)
    for number, digests_of in _DIGESTS_OF:
        chosen = outcomes == number
        if chosen.any():
            made = digests_of(reading["normalised"].filter(pl.Series(chosen)))
            places[rows[chosen]] = np.arange(len(made)) + sum(map(len, digests))
            digests.append(made)
    in_order = np.empty_like(outcomes)
    in_order[rows] = outcomes
    # by words, since numpy would copy byte by byte
    found = np.concatenate(digests).view(np.uint64).take(places, axis=0).view(np.uint8)
    return pl.DataFrame(
        {
            "identifier": as_column(found, places > 0),
            "outcome": pl.Series(in_order).cat.to(OUTCOME_DTYPE),
        }
    )
