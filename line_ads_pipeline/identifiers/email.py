"""E-mail addresses: the address as LINE hashed it, or the reason to skip it.

LINE trims, lower-cases and hashes; an address has at most 120 characters. The grammar is RFC 5322's dot-atom
before the `@` and letter-digit-hyphen labels (RFC 5890) behind it.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, outcome_of_rest
from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.rules import EmailRules
from line_ads_pipeline.identifiers.stages import Reader, decide
from line_ads_pipeline.identifiers.text import has_wide_characters, trimmed

MOST_CHARACTERS: Final = 120

_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# docomo and au once issued addresses with dots doubled or at the end, and honour them still.
_CARRIER: Final = r"(?:docomo|ezweb)\.ne\.jp"
_ADDRESS: Final = rf"^(?:{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}|{_ATOM}(?:\.+{_ATOM})*\.*@{_CARRIER})$"
_LINE_CHARACTERS: Final = r"^[a-z0-9_.@-]*$"


def email_reader(rules: EmailRules) -> Reader:
    """Make what reads a batch of e-mail addresses.

    `normalised` is the address to hash, or the digest that was given as 64 hex digits, else NULL.
    """
    address, rest = _address(rules), _rest()

    def read(batch: pl.DataFrame) -> pl.DataFrame:
        # most addresses in most tables are as they have to be
        return decide(batch, address, decided_as="hashed", others=read_untidy)

    def read_untidy(batch: pl.DataFrame) -> pl.DataFrame:
        tidy = trimmed(batch, compose=True).with_columns(pl.col("text").str.to_lowercase())
        return decide(tidy, address, decided_as="hashed", others=read_rest)

    def read_rest(batch: pl.DataFrame) -> pl.DataFrame:
        # lazily, so that what the expressions say twice is computed once
        return batch.lazy().select("row", **rest).collect(engine="in-memory")

    return read


def _address(rules: EmailRules) -> pl.Expr:
    """The text where it is an address as it has to be."""
    text = pl.col("text")
    right = text.str.contains(_ADDRESS) & (text.str.len_bytes() <= MOST_CHARACTERS)
    if rules.strict_line_characters:
        right &= text.str.contains(_LINE_CHARACTERS)
    return pl.when(right).then(text)


def _rest() -> Mapping[str, pl.Expr]:
    """What is to be said of tidy texts that are no address to send: digests, and why the others are skipped."""
    text = pl.col("text")
    reason = (
        pl.when(~text.str.contains("@", literal=True))
        .then(outcome("not_an_email_address"))
        .when(has_wide_characters(text))
        .then(outcome("non_ascii"))
        .when(~text.str.contains(_ADDRESS))
        .then(outcome("not_an_email_address"))
        .when(text.str.len_bytes() > MOST_CHARACTERS)
        .then(outcome("too_long"))
        .otherwise(outcome("not_line_characters"))
    )
    return {"normalised": given_digest(text), "outcome": outcome_of_rest(text, text, reason)}
