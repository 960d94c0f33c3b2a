"""Ways of writing a phone number: what is written around, between and instead of its digits."""

import unicodedata
from functools import cache
from itertools import filterfalse
from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, outcome_of_rest
from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.phone_library import DECIMAL, EXTENSION, MOST_CHARACTERS
from line_ads_pipeline.identifiers.text import INVISIBLE, SPACES, has_wide_characters

SHORTEST_HASH: Final = 32
"""Texts of fewer bytes are no hash, unless they end in an equals sign."""

# Separators that mean nothing. Six digits and a dot are left to the library's module: they may be a decimal number.
_SEPARATORS: Final = " ()-/[]."
_PLAIN_NUMBER: Final = r"^[ (\[]*\+?(?:[0-9]*[ ()\-/\[\]]+|[0-9]{0,5}\.)*[0-9]+[ )\]]*$"
_NO_SEPARATORS: Final = dict.fromkeys(_SEPARATORS, "")
_LEFT_BEHIND: Final = " -.,:/\"')]"
# A semicolon may begin a parameter; the others are an i and spaces to Python's regular expressions, not to Rust's.
_UNSURE: Final = "[;\u0130\u0131\x1c-\x1f]"
_HYPHENS: Final = "\u02d7\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u30fc\ufe58\ufe63\uff0d\uff70"


def with_plain_numbers(texts: pl.DataFrame) -> pl.DataFrame:
    """Tidy the column `text`, and add `number`: the digits, after a `+` if there was one, of a number alone."""
    text = pl.col("text")
    wide = has_wide_characters(text)
    ascii_text = pl.when(wide).then(pl.when(wide).then(text).str.replace_many(_ascii_forms())).otherwise(text)
    return (
        texts.lazy()
        .with_columns(text=ascii_text)
        .with_columns(text=text.str.strip_chars())
        .with_columns(number=_plain_number(text))
        .collect(engine="in-memory")
    )


def with_odd_numbers(texts: pl.DataFrame) -> pl.DataFrame:
    """Add to `number` those between a label and an extension, and say what the other texts are instead.

    That is `digest`, and `reason` (NULL where only the library can tell).
    """
    text, odd, body = map(pl.col, ("text", "odd", "body"))
    lower = odd.str.to_lowercase()
    return (
        texts.lazy()
        .with_columns(odd=pl.when(pl.col("number").is_null()).then(text))
        .with_columns(digest=given_digest(lower), reason=outcome_of_rest(lower, text, pl.lit(None)))
        .with_columns(body=pl.when(pl.col("reason").is_null()).then(_without_label_and_extension(odd)))
        .with_columns(reason=pl.coalesce("reason", pl.when(odd.is_not_null()).then(_no_number(odd, body))))
        .with_columns(
            number=pl.coalesce("number", _plain_number(pl.when(pl.col("reason").is_null()).then(body)))
        )
        .collect(engine="in-memory")
    )


def _plain_number(text: pl.Expr) -> pl.Expr:
    plain = (text.str.len_bytes() < SHORTEST_HASH) & text.str.contains(_PLAIN_NUMBER)
    return pl.when(plain).then(text).str.replace_many(_NO_SEPARATORS)


def _without_label_and_extension(text: pl.Expr) -> pl.Expr:
    number = text.str.extract(r"(?s)([+0-9].*)").str.replace(f"(?i){EXTENSION.pattern}", "")
    return number.str.strip_chars_end(_LEFT_BEHIND)


def _no_number(text: pl.Expr, body: pl.Expr) -> pl.Expr:
    """Why a text is surely no number, in the words of `read_number`; NULL where it may be one."""
    has_letter = body.str.contains(r"\p{L}") & ~body.str.contains(_UNSURE)
    return (
        pl.when(text.str.len_chars() > MOST_CHARACTERS)
        .then(outcome("not_a_phone_number"))
        .when(text.str.contains(f"(?i)^(?:{DECIMAL.pattern})$"))
        .then(outcome("decimal_number"))
        .when(body.is_null() | text.str.contains("*", literal=True) | has_letter)
        .then(outcome("not_a_phone_number"))
    )


@cache
def _ascii_forms() -> dict[str, str]:
    forms = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    digits = (char for char in map(chr, range(0x80, 0x20000)) if unicodedata.category(char) == "Nd")
    forms |= {char: str(unicodedata.decimal(char)) for char in digits}
    forms |= dict.fromkeys(filterfalse(str.isascii, SPACES), " ")
    return forms | dict.fromkeys(_HYPHENS, "-") | dict.fromkeys(INVISIBLE, "")
