"""Mobile ad ids (IDFA, AAID): UUIDs that LINE takes as they are."""

from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, is_sha256, outcome_of_rest
from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.rules import IfaRules
from line_ads_pipeline.identifiers.text import trim

_UUID: Final = "^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
_ALL_ZERO: Final = "00000000-0000-0000-0000-000000000000"


def read_ifas(texts: pl.LazyFrame, rules: IfaRules) -> pl.LazyFrame:
    """From a frame of one column `text` to `normalised` and `outcome`, row by row.

    `normalised` is the id to send or to hash (or with `hash_ifa` the digest that was given), else NULL.
    """
    text, rest = pl.col("text"), pl.col("rest")
    found = pl.when(text.str.contains(_UUID) & (text != _ALL_ZERO)).then(text)
    lower_rest = rest.str.to_lowercase()
    reason = pl.when(rest == _ALL_ZERO).then(outcome("all_zero_ifa")).otherwise(outcome("not_an_ifa"))
    if rules.hash_ifa:
        normalised = pl.coalesce(pl.col("ifa").str.to_lowercase(), given_digest(lower_rest))
        skipped = outcome_of_rest(lower_rest, text, reason)
    else:
        normalised = {
            "preserve": pl.col("ifa"),
            "lower": pl.col("ifa").str.to_lowercase(),
            "upper": pl.col("ifa").str.to_uppercase(),
        }[rules.ifa_case]
        skipped = (
            pl.when(text.is_null())
            .then(outcome("null"))
            .when(rest == "")
            .then(outcome("blank"))
            .when(is_sha256(lower_rest))
            .then(outcome("hashed_ifa"))
            .otherwise(reason)
        )
    return (
        texts.select(text=trim(text))
        .with_columns(ifa=found)
        .with_columns(rest=pl.when(pl.col("ifa").is_null()).then(text))
        .select(
            normalised=normalised,
            outcome=pl.when(pl.col("ifa").is_not_null())
            .then(outcome("hashed" if rules.hash_ifa else "as_is"))
            .otherwise(skipped),
        )
    )
