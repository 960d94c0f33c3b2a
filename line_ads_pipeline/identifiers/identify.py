"""From a column of raw values to identifiers that LINE understands."""

from collections.abc import Sequence
from typing import assert_never

import polars as pl

from line_ads_pipeline.identifiers.digests import bytes_of_hex, sha256
from line_ads_pipeline.identifiers.email import read_emails
from line_ads_pipeline.identifiers.ifa import read_ifas
from line_ads_pipeline.identifiers.phone import read_phones
from line_ads_pipeline.identifiers.rules import EmailRules, IfaRules, PhoneRules, Rules
from line_ads_pipeline.identifiers.stages import placed
from line_ads_pipeline.identifiers.text import as_text


def identify(segment: pl.LazyFrame, column: str, rules: Rules) -> pl.LazyFrame:
    """Turn each raw value of a column into an identifier, or tell why not.

    The plan is elementwise, so it streams: one row out for each row in, in their order, nothing but these columns.

    - `identifier` (Binary): the 32 bytes of a SHA-256 digest, or the 36 ASCII bytes of a mobile ad id; NULL when
      the row is skipped.
    - `outcome` (Enum of `OUTCOMES`): `hashed`, `already_hashed`, `as_is` for a mobile ad id sent unhashed, or one
      of `SKIP_REASONS`.

    Raises:
        UnsupportedIdentifierColumn: The column's type cannot hold identifiers safely.
        polars.exceptions.ColumnNotFoundError: The segment has no such column.
    """
    if isinstance(rules, IfaRules) and not rules.hash_ifa:
        identifier = pl.col("normalised").cast(pl.Binary)
    else:
        identifier = pl.map_batches(
            ["normalised", "outcome"], _digests, return_dtype=pl.Binary, is_elementwise=True
        )
    return normalise(segment, column, rules).select(identifier=identifier, outcome="outcome")


def normalise(segment: pl.LazyFrame, column: str, rules: Rules) -> pl.LazyFrame:
    """The step before hashing: `normalised` (the text that is hashed or sent, or a digest given) and `outcome`.

    These are raw identifiers still: never let them leave memory.

    Raises:
        UnsupportedIdentifierColumn: The column's type cannot hold identifiers safely.
        polars.exceptions.ColumnNotFoundError: The segment has no such column.
    """
    schema = segment.collect_schema()
    if column not in schema:
        raise pl.exceptions.ColumnNotFoundError(f"no column {column!r} among {', '.join(schema.names())}")
    texts = segment.select(text=as_text(column, schema[column]))
    match rules:
        case EmailRules():
            return read_emails(texts, rules)
        case PhoneRules():
            return read_phones(texts, rules)
        case IfaRules():
            return read_ifas(texts, rules)
        case _:
            assert_never(rules)


def _digests(columns: Sequence[pl.Series]) -> pl.Series:
    normalised, outcome = columns
    fresh, given = outcome == "hashed", outcome == "already_hashed"
    digests = placed(
        (fresh, sha256(normalised.filter(fresh)).to_frame("digest")),
        (given, bytes_of_hex(normalised.filter(given)).to_frame("digest")),
    )
    return digests.to_series()
