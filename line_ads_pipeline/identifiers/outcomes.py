"""What can become of one row of a segment."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import polars as pl

SKIP_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "null": "The cell is NULL.",
        "blank": "The cell is empty or holds nothing but spaces and invisible marks.",
        "hash_of_empty_string": "The value is the SHA-256 of an empty text: something upstream hashed blank cells.",
        "unknown_hash": "The value looks like a hash, but LINE matches SHA-256 only, written as 64 hex digits.",
        "not_an_email_address": "The value is not an e-mail address.",
        "non_ascii": "The e-mail address holds letters or signs outside ASCII, which LINE cannot match.",
        "too_long": "The e-mail address has more than 120 characters, the most that LINE accepts.",
        "not_line_characters": "The e-mail address holds signs that LINE's manual does not list: only letters, "
        "digits, _ - . and @ pass under strict_line_characters.",
        "not_a_phone_number": "The value is not a phone number.",
        "decimal_number": "The phone number is written as a decimal or in scientific notation, which loses digits: "
        "keep the column as text or as integers.",
        "no_country": "The phone number has no country code: set default_country to the country of such numbers.",
        "invalid_number": "No such phone number is in use: the area or mobile code does not exist, or digits are "
        "missing or too many.",
        "not_an_ifa": "The value is not a mobile ad id: 32 hex digits in groups of 8-4-4-4-12.",
        "all_zero_ifa": "The mobile ad id is all zeros: the person has limited ad tracking.",
        "hashed_ifa": "The mobile ad id is hashed, but LINE takes it as it is: give the plain id.",
    }
)
"""Why a row is skipped: each reason with one sentence for people."""

OUTCOMES: Final = ("hashed", "already_hashed", "as_is", *SKIP_REASONS)
"""Every outcome of a row: the three ways to become an identifier, then the reasons not to."""

OUTCOME_DTYPE: Final = pl.Enum(OUTCOMES)


def outcome(name: str) -> pl.Expr:
    """One of `OUTCOMES` as a literal."""
    return pl.lit(name, dtype=OUTCOME_DTYPE)
