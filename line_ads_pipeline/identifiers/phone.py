"""Phone numbers: the digits to hash, or the reason to skip.

A text may mean several numbers; the first of these that is valid counts:

1. with `+`: the international number, whatever the default country;
2. after `00`: the international number;
3. what the default country makes of it: after its own exit code an international number, else a national one, or
   one that starts with the country's own calling code;
4. all the digits as an international number without `+`.

The numbers of `PLAN_COUNTRIES` in their common ways of writing are decided here by regular expressions, and so is
whatever no country's plan can hold. The rest goes to the `phonenumbers` library, and both give the same answers.
"""

import unicodedata
from functools import cache, partial
from itertools import filterfalse
from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.digests import given_digest, outcome_of_rest
from line_ads_pipeline.identifiers.numbering_plans import (
    PLAN_COUNTRIES,
    NumberingPlan,
    conceivable_number,
    numbering_plan,
)
from line_ads_pipeline.identifiers.outcomes import OUTCOME_DTYPE, outcome
from line_ads_pipeline.identifiers.phone_library import (
    FEWEST_GIVEN_DIGITS,
    MOST_GIVEN_DIGITS,
    READING_DTYPE,
    read_with_library,
)
from line_ads_pipeline.identifiers.rules import PhoneRules
from line_ads_pipeline.identifiers.text import INVISIBLE, SPACES, has_wide_characters, trim

# Separators that mean nothing. Six digits and a dot are left to the library's module: they may be a decimal number.
_PLAIN_NUMBER: Final = r"^(?:[Tt][Ee][Ll]:)?[ (\[]*\+?(?:[0-9]*[ ()\-/\[\]]+|[0-9]{0,5}\.)*[0-9]+[ )\]]*$"
_SHORTEST_HASH: Final = 32
_SURE_LENGTH: Final = 4
_HYPHENS: Final = "\u02d7\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u30fc\ufe58\ufe63\uff0d\uff70"


def read_phones(texts: pl.LazyFrame, rules: PhoneRules) -> pl.LazyFrame:
    """From a frame of one column `text` to `normalised` and `outcome`, row by row.

    `normalised` holds the digits to hash, or the digest that was given as 64 hex digits, else NULL.
    """
    text, rest, library = pl.col("text"), pl.col("rest"), pl.col("library")
    decide = _decide_as_given if rules.phone_format == "as_given" else _decide
    undecided = pl.col("digits").is_null() & pl.col("refusal").is_null()
    return (
        decide(_plain_numbers(texts), rules)
        .with_columns(rest=pl.when(undecided).then(text.str.to_lowercase()))
        .with_columns(
            digest=given_digest(rest),
            shape=outcome_of_rest(rest, text, pl.lit(None)),
        )
        .with_columns(
            library=pl.when(rest.is_not_null() & pl.col("shape").is_null())
            .then(text)
            .map_batches(
                partial(read_with_library, rules=rules), return_dtype=READING_DTYPE, is_elementwise=True
            )
        )
        .select(
            normalised=pl.coalesce("digits", "digest", library.struct.field("normalised")),
            outcome=pl.when(pl.col("digits").is_not_null())
            .then(outcome("hashed"))
            .otherwise(pl.coalesce("refusal", "shape", library.struct.field("outcome"))),
        )
    )


def _plain_numbers(texts: pl.LazyFrame) -> pl.LazyFrame:
    """Add `number`: the digits, after a `+` if there was one, of texts that hold one number and nothing else."""
    text = pl.col("text")
    wide = has_wide_characters(text)
    ascii_text = pl.when(wide).then(pl.when(wide).then(text).str.replace_many(_ascii_forms())).otherwise(text)
    plain = (text.str.len_bytes() < _SHORTEST_HASH) & text.str.contains(_PLAIN_NUMBER)
    return (
        texts.select(text=ascii_text)
        .select(text=trim(text))
        .with_columns(number=pl.when(plain).then(text).str.replace_all("[^0-9+]+", ""))
    )


@cache
def _ascii_forms() -> dict[str, str]:
    forms = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    digits = (char for char in map(chr, range(0x80, 0x20000)) if unicodedata.category(char) == "Nd")
    forms |= {char: str(unicodedata.decimal(char)) for char in digits}
    forms |= dict.fromkeys(filterfalse(str.isascii, SPACES), " ")
    return forms | dict.fromkeys(_HYPHENS, "-") | dict.fromkeys(INVISIBLE, "")


def _decide_as_given(numbers: pl.LazyFrame, rules: PhoneRules) -> pl.LazyFrame:
    """Add `digits` and `refusal`, one of which tells what becomes of each plain number."""
    del rules
    number = pl.col("number").str.strip_prefix("+")
    fits = number.str.len_bytes().is_between(FEWEST_GIVEN_DIGITS, MOST_GIVEN_DIGITS)
    return numbers.with_columns(
        digits=pl.when(fits).then(number), refusal=pl.when(~fits).then(outcome("invalid_number"))
    )


def _decide(numbers: pl.LazyFrame, rules: PhoneRules) -> pl.LazyFrame:
    """Add `digits` and `refusal`; both are NULL for what only the library can tell."""
    country = rules.default_country
    plan = numbering_plan(country) if country in PLAN_COUNTRIES else None
    takes_bare = plan is not None or country is None
    digits = pl.col("digits")
    return (
        numbers.with_columns(home=_home_number(pl.col("number"), plan))
        .with_columns(away=pl.when(pl.col("home").is_null()).then("number"))
        .with_columns(abroad=_international_number(pl.col("away"), plan, takes_bare=takes_bare))
        .with_columns(digits=pl.coalesce("home", _number_of_known_plan(pl.col("abroad"))))
        .with_columns(
            digits=_nationally(digits) if rules.phone_format == "national" else digits,
            refusal=pl.when(digits.is_null()).then(_refusal(rules, takes_bare=takes_bare)),
        )
    )


def _home_number(number: pl.Expr, plan: NumberingPlan | None) -> pl.Expr:
    """The valid national numbers of the default country, with its calling code."""
    if plan is None:
        return pl.lit(None, pl.String)
    national = number.str.contains(f"^0?(?:{plan.subscriber})$")
    valid = national & ~number.str.starts_with("00") & ~_has_exit_code(number, plan)
    return pl.when(valid).then(plan.calling_code + number.str.strip_chars_start("0"))


def _has_exit_code(number: pl.Expr, plan: NumberingPlan) -> pl.Expr:
    return number.str.contains(f"^(?:{plan.exit_codes})[1-9]")


def _international_number(away: pl.Expr, plan: NumberingPlan | None, *, takes_bare: bool) -> pl.Expr:
    """What follows `+`, an exit code or (with `takes_bare`) nothing at all."""
    zeros, after_zeros = away.str.starts_with("00"), away.str.slice(2)
    numbers = [pl.when(away.str.starts_with("+")).then(away.str.slice(1))]
    if plan:
        exits = _has_exit_code(away, plan) & ~(zeros & _is_conceivable(after_zeros))
        numbers.append(pl.when(exits).then(away.str.slice(plan.exit_length)))
    numbers.append(pl.when(zeros).then(after_zeros))
    if takes_bare:
        numbers.append(pl.when(~away.str.starts_with("0")).then(away))
    return pl.coalesce(numbers)


def _is_conceivable(digits: pl.Expr) -> pl.Expr:
    # In a function, not in the plan: Polars cannot print expressions of more than 64 KiB, and panics.
    return digits.map_batches(_match_conceivable, return_dtype=pl.Boolean, is_elementwise=True)


def _match_conceivable(digits: pl.Series) -> pl.Series:
    return digits.str.contains(conceivable_number())


def _number_of_known_plan(abroad: pl.Expr) -> pl.Expr:
    """The valid numbers of `PLAN_COUNTRIES`, without a trunk zero after the calling code."""
    plans = [numbering_plan(country) for country in PLAN_COUNTRIES]
    codes = "|".join(plan.calling_code for plan in plans)
    numbers = "|".join(f"{plan.calling_code}0?(?:{plan.subscriber})" for plan in plans)
    valid = abroad.str.contains(f"^(?:{numbers})$") & ~abroad.str.contains(f"^(?:{codes})00")
    trunk = abroad.str.contains(f"^(?:{codes})0")
    without_trunk = pl.when(valid & trunk).then(abroad).str.replace(f"^({codes})0", "${1}")
    return pl.coalesce(without_trunk, pl.when(valid).then(abroad))


def _refusal(rules: PhoneRules, *, takes_bare: bool) -> pl.Expr:
    """Why a number without digits is surely none; NULL where it may be one."""
    if rules.phone_validation == "possible":
        return pl.lit(None, OUTCOME_DTYPE)
    away, abroad = pl.col("away"), pl.col("abroad")
    conceivable = _is_conceivable(abroad).fill_null(not takes_bare)
    surely_none = (away.str.len_bytes() >= _SURE_LENGTH) & ~away.str.starts_with("00") & ~conceivable
    reason: pl.Expr = outcome("invalid_number")
    if rules.default_country is None:
        reason = pl.when(away.str.starts_with("+")).then(reason).otherwise(outcome("no_country"))
    return pl.when(surely_none).then(reason)


def _nationally(digits: pl.Expr) -> pl.Expr:
    """International digits as they are dialled inside their own country of `PLAN_COUNTRIES`."""
    numbers = []
    for plan in map(numbering_plan, PLAN_COUNTRIES):
        here = pl.when(digits.str.starts_with(plan.calling_code)).then(digits)
        subscriber = here.str.slice(len(plan.calling_code))
        trunkless = pl.lit(False)
        for first_digits, all_digits in plan.trunkless:
            fits_start = subscriber.str.contains(f"^(?:{first_digits})")
            trunkless |= fits_start & subscriber.str.contains(f"^{all_digits}$")
        numbers.append(pl.when(trunkless).then(subscriber).otherwise(plan.trunk + subscriber))
    return pl.coalesce(numbers)
