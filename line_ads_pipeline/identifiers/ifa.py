"""Mobile ad ids (IDFA, AAID): UUIDs that LINE takes as they are."""

from functools import partial
from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, is_sha256, outcome_of_rest
from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.rules import IfaRules
from line_ads_pipeline.identifiers.stages import read_in_stages
from line_ads_pipeline.identifiers.text import trim

_HEX_DIGIT: Final = {"preserve": "[0-9a-fA-F]", "lower": "[0-9a-f]", "upper": "[0-9A-F]"}
_ALL_ZERO: Final = "00000000-0000-0000-0000-000000000000"


def read_ifas(texts: pl.LazyFrame, rules: IfaRules) -> pl.LazyFrame:
    """From a frame of one column `text` to `normalised` and `outcome`, row by row.

    `normalised` is the id to send or to hash (or with `hash_ifa` the digest that was given), else NULL.
    """
    accepted, accepted_as = _is_ifa(rules), "hashed" if rules.hash_ifa else "as_is"
    rest = partial(_read_rest, rules=rules)

    def read_untidy(untidy: pl.LazyFrame) -> pl.LazyFrame:
        tidy = untidy.select(text=trim(pl.col("text"))).select(text=_cased(pl.col("text"), rules))
        return read_in_stages(tidy, accepted=accepted, accepted_as=accepted_as, others=rest)

    return read_in_stages(texts, accepted=accepted, accepted_as=accepted_as, others=read_untidy)


def _read_rest(texts: pl.LazyFrame, rules: IfaRules) -> pl.LazyFrame:
    """Tidy texts that are no id to send: digests, if they are wanted, and why the others are skipped."""
    text = pl.col("text")
    lower = text.str.to_lowercase()
    reason = pl.when(text == _ALL_ZERO).then(outcome("all_zero_ifa")).otherwise(outcome("not_an_ifa"))
    if rules.hash_ifa:
        return texts.select(normalised=given_digest(lower), outcome=outcome_of_rest(lower, text, reason))
    skipped = (
        pl.when(text.is_null())
        .then(outcome("null"))
        .when(text == "")
        .then(outcome("blank"))
        .when(is_sha256(lower))
        .then(outcome("hashed_ifa"))
        .otherwise(reason)
    )
    return texts.select(normalised=pl.lit(None, pl.String), outcome=skipped)


def _is_ifa(rules: IfaRules) -> pl.Expr:
    """Whether `text` is an id in the case that is wanted."""
    digit = _HEX_DIGIT[_case(rules)]
    text = pl.col("text")
    return text.str.contains(f"^{digit}{{8}}-(?:{digit}{{4}}-){{3}}{digit}{{12}}$") & (text != _ALL_ZERO)


def _cased(text: pl.Expr, rules: IfaRules) -> pl.Expr:
    match _case(rules):
        case "lower":
            return text.str.to_lowercase()
        case "upper":
            return text.str.to_uppercase()
        case _:
            return text


def _case(rules: IfaRules) -> str:
    return "lower" if rules.hash_ifa else rules.ifa_case
