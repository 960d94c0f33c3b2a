"""Mobile ad ids (IDFA, AAID): UUIDs that LINE takes as they are."""

from functools import partial
from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, is_sha256, outcome_of_rest
from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.rules import IfaRules
from line_ads_pipeline.identifiers.stages import Reader, decide
from line_ads_pipeline.identifiers.text import has_wide_characters, trimmed

_HEX_DIGIT: Final = {"preserve": "[0-9a-fA-F]", "lower": "[0-9a-f]", "upper": "[0-9A-F]"}
_ALL_ZERO: Final = "00000000-0000-0000-0000-000000000000"


def ifa_reader(rules: IfaRules) -> Reader:
    """Make what reads a batch of mobile ad ids.

    `normalised` is the id to send or to hash (or with `hash_ifa` the digest that was given), else NULL.
    """
    ifa, decided_as = _ifa(rules), "hashed" if rules.hash_ifa else "as_is"

    def read(batch: pl.DataFrame) -> pl.DataFrame:
        return decide(batch, ifa, decided_as=decided_as, others=read_untidy)

    def read_untidy(batch: pl.DataFrame) -> pl.DataFrame:
        text = pl.col("text")
        # capitals of some ligatures are hex digits: what is beyond ASCII stays as it is, and is no id
        cased = pl.when(has_wide_characters(text)).then(text).otherwise(_cased(text, rules))
        tidy = trimmed(batch).with_columns(cased.alias("text"))
        return decide(tidy, ifa, decided_as=decided_as, others=partial(_read_rest, rules=rules))

    return read


def _ifa(rules: IfaRules) -> pl.Expr:
    """The text where it is an id in the case that is wanted."""
    digit = _HEX_DIGIT[_case(rules)]
    text = pl.col("text")
    uuid = text.str.contains(f"^{digit}{{8}}-(?:{digit}{{4}}-){{3}}{digit}{{12}}$")
    return pl.when(uuid & (text != _ALL_ZERO)).then(text)


def _read_rest(batch: pl.DataFrame, rules: IfaRules) -> pl.DataFrame:
    """Tidy texts that are no id to send: digests, if they are wanted, and why the others are skipped."""
    text = pl.col("text")
    lower = text.str.to_lowercase()
    reason = pl.when(text == _ALL_ZERO).then(outcome("all_zero_ifa")).otherwise(outcome("not_an_ifa"))
    if rules.hash_ifa:
        return batch.select(
            "row", normalised=given_digest(lower), outcome=outcome_of_rest(lower, text, reason)
        )
    skipped = (
        pl.when(text.is_null())
        .then(outcome("null"))
        .when(text == "")
        .then(outcome("blank"))
        .when(is_sha256(lower))
        .then(outcome("hashed_ifa"))
        .otherwise(reason)
    )
    return batch.select("row", normalised=pl.lit(None, pl.String), outcome=skipped)


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
