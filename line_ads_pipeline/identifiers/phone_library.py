"""The phone numbers that the vectorised rules leave open: one at a time, by the `phonenumbers` library."""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, NamedTuple

import phonenumbers
import polars as pl
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

from line_ads_pipeline.identifiers.outcomes import OUTCOME_DTYPE
from line_ads_pipeline.identifiers.rules import PhoneRules

FEWEST_GIVEN_DIGITS: Final = 5
MOST_GIVEN_DIGITS: Final = 20
FEWEST_DIGITS: Final = 3
MOST_CHARACTERS: Final = 250  # the library's own limit
_MOST_REMEMBERED: Final = 100_000

# The words for an extension in the library's own list, and those of the countries where LINE is at home.
EXTENSION: Final = re.compile(
    r"[\s,;(]*(?:;ext=|e?xt(?:ensi(?:on|\u00f3n))?n?|x|int|anexo"
    r"|\u5185\u7dda|\u5167\u7dda|\u5206\u6a5f|\u5206\u673a|\u8f49|\u8f6c|\u0e15\u0e48\u0e2d)[\s.:-]*[0-9]{1,10}[#)]?\s*$",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(r";(?:isub|phone-context)=[^;]*", re.IGNORECASE)
_LETTER: Final = re.compile(r"[^\W\d_]")
_FIRST_DIGIT: Final = re.compile(r"[+0-9]")
_ZEROS: Final = re.compile(r"0[\s().\[\]/-]*0[\s().\[\]/-]*(?=[1-9])")
DECIMAL: Final = re.compile(r"[+-]?[0-9]{6,}\.[0-9]{1,2}|[+-]?[0-9]+(?:\.[0-9]*)?e\+?[0-9]+", re.IGNORECASE)


class Reading(NamedTuple):
    """What one text was found to be: the digits to hash, or None and why."""

    digits: str | None
    outcome: str


def library_reader(rules: PhoneRules) -> Callable[[str], Reading]:
    """`read_number` by these rules, which remembers what it read last, for the batches of one run."""
    return lru_cache(_MOST_REMEMBERED)(partial(read_number, rules=rules))


def read_with_library(texts: pl.Series, look_up: Callable[[str], Reading]) -> pl.Series:
    """Read a batch of trimmed texts, each distinct one once; NULL gives NULL.

    Args:
        texts: A column of text.
        look_up: What `library_reader` gives.

    Returns:
        Structs of `normalised` and `outcome`, one for each text.
    """
    distinct = texts.drop_nulls().unique()
    readings = [look_up(text) for text in distinct]
    table = pl.DataFrame(
        {
            "text": distinct,
            "normalised": pl.Series([reading.digits for reading in readings], dtype=pl.String),
            "outcome": pl.Series([reading.outcome for reading in readings], dtype=OUTCOME_DTYPE),
        }
    )
    joined = texts.to_frame("text").join(table, on="text", how="left", maintain_order="left")
    return joined.drop("text").to_struct(texts.name)


def read_number(text: str, rules: PhoneRules) -> Reading:
    """Read one trimmed text by the library's rules and ours, never raising what the text says."""
    if len(text) > MOST_CHARACTERS:
        return Reading(None, "not_a_phone_number")
    if DECIMAL.fullmatch(text):
        return Reading(None, "decimal_number")
    start = _FIRST_DIGIT.search(text)
    body = EXTENSION.sub("", text[start.start() :]) if start else ""
    # The library would dial letters as on a keypad, so that 090-XXXX-5678 became somebody else's number.
    if not body or "*" in text or _LETTER.search(_PARAMETER.sub("", body)):
        return Reading(None, "not_a_phone_number")
    if rules.phone_format == "as_given":
        digits = re.sub("[^0-9]", "", body)
        fits = FEWEST_GIVEN_DIGITS <= len(digits) <= MOST_GIVEN_DIGITS
        return Reading(digits, "hashed") if fits else Reading(None, "invalid_number")
    return _read_international(body, rules)


def _read_international(body: str, rules: PhoneRules) -> Reading:
    marked, bare = _interpretations(body, rules.default_country)
    number = next(filter(phonenumbers.is_valid_number, marked + bare), None)
    if number is None and rules.phone_validation == "possible":
        # Almost any digits are a possible number of some country, so bare ones must be valid all the same.
        number = next(filter(phonenumbers.is_possible_number, marked), None)
    if number is not None:
        return Reading(_digits(number, rules), "hashed")
    if sum(map(str.isdigit, body)) < FEWEST_DIGITS:
        return Reading(None, "not_a_phone_number")
    if rules.default_country is None and not body.startswith("+"):
        return Reading(None, "no_country")
    return Reading(None, "invalid_number")


def _interpretations(body: str, country: str | None) -> tuple[list[PhoneNumber], list[PhoneNumber]]:
    """Every number that a text may mean, likeliest first: those marked as what they are, and without a mark."""
    if body.startswith("+"):
        return _parse(body, None), []
    if exit_code := _ZEROS.match(body):
        return _parse("+" + body[exit_code.end() :], None) + _parse(body, country), []
    bare = [] if body.startswith("0") else _parse("+" + body, None)
    return _parse(body, country), bare


def _parse(text: str, country: str | None) -> list[PhoneNumber]:
    try:
        return [phonenumbers.parse(text, country)]
    except NumberParseException:
        return []


def _digits(number: PhoneNumber, rules: PhoneRules) -> str:
    if rules.phone_format == "national":
        number.extension = None
        written = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        return phonenumbers.normalize_digits_only(written)
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"
