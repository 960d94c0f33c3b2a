"""E-mail addresses: the address as LINE hashed it, or the reason to skip it.

LINE trims, lower-cases and hashes; an address has at most 120 characters. The grammar is RFC 5322's dot-atom
before the `@` and letter-digit-hyphen labels (RFC 5890) behind it.
"""

from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, outcome_of_rest
from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.rules import EmailRules
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
    text, rest = pl.col("text"), pl.col("rest")
    right = text.str.contains(_ADDRESS) & (text.str.len_bytes() <= MOST_CHARACTERS)
    if rules.strict_line_characters:
        right &= text.str.contains(_LINE_CHARACTERS)
    reason = (
        pl.when(~rest.str.contains("@", literal=True))
        .then(outcome("not_an_email_address"))
        .when(has_wide_characters(rest))
        .then(outcome("non_ascii"))
        .when(~rest.str.contains(_ADDRESS))
        .then(outcome("not_an_email_address"))
        .when(rest.str.len_bytes() > MOST_CHARACTERS)
        .then(outcome("too_long"))
        .otherwise(outcome("not_line_characters"))
    )
    return (
        texts.select(text=trim(text, compose=True).str.to_lowercase())
        .with_columns(address=pl.when(right).then(text))
        .with_columns(rest=pl.when(pl.col("address").is_null()).then(text))
        .select(
            normalised=pl.coalesce("address", given_digest(rest)),
            outcome=pl.when(pl.col("address").is_not_null())
            .then(outcome("hashed"))
            .otherwise(outcome_of_rest(rest, text, reason)),
        )
    )
