"""E-mail addresses: the address as LINE hashed it, or the reason to skip it.

LINE trims, lower-cases and hashes; an address has at most 120 characters. The grammar is RFC 5322's dot-atom
before the `@` and letter-digit-hyphen labels (RFC 5890) behind it.
"""

from functools import partial
from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, outcome_of_rest
from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.rules import EmailRules
from line_ads_pipeline.identifiers.stages import read_in_stages
from line_ads_pipeline.identifiers.text import has_wide_characters, trim

MOST_CHARACTERS: Final = 120

_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# docomo and au once issued addresses with dots doubled or at the end, and honour them still.
_CARRIER: Final = r"(?:docomo|ezweb)\.ne\.jp"
_ADDRESS: Final = rf"^(?:{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}|{_ATOM}(?:\.+{_ATOM})*\.*@{_CARRIER})$"
_LINE_CHARACTERS: Final = r"^[a-z0-9_.@-]*$"


def read_emails(texts: pl.LazyFrame, rules: EmailRules) -> pl.LazyFrame:
    """From a frame of one column `text` to `normalised` and `outcome`, row by row.

    `normalised` is the address to hash, or the digest that was given as 64 hex digits, else NULL.
    """
    # Most addresses in most tables are as they have to be.
    return read_in_stages(
        texts, accepted=_is_address(rules), accepted_as="hashed", others=partial(_read_untidy, rules=rules)
    )


def _read_untidy(texts: pl.LazyFrame, rules: EmailRules) -> pl.LazyFrame:
    tidy = texts.select(text=trim(pl.col("text"), compose=True).str.to_lowercase())
    return read_in_stages(tidy, accepted=_is_address(rules), accepted_as="hashed", others=_read_rest)


def _read_rest(texts: pl.LazyFrame) -> pl.LazyFrame:
    """Tidy texts that are no address to send: digests, and why the others are skipped."""
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
    return texts.select(normalised=given_digest(text), outcome=outcome_of_rest(text, text, reason))


def _is_address(rules: EmailRules) -> pl.Expr:
    text = pl.col("text")
    right = text.str.contains(_ADDRESS) & (text.str.len_bytes() <= MOST_CHARACTERS)
    return right & text.str.contains(_LINE_CHARACTERS) if rules.strict_line_characters else right
