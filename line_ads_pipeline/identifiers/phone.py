"""Phone numbers: the digits to hash, or the reason to skip.

A text may mean several numbers; the first of these that is valid counts:

1. with `+`: the international number, whatever the default country;
2. after `00`: the international number;
3. what the default country makes of it: after its own exit code an international number, else a national one, or
   one that starts with the country's own calling code;
4. all the digits as an international number without `+`.

Each stage reads only the rows that the one before left open: the default country's numbers in digits and hyphens;
the same in any other writing; then the other numbers of `PLAN_COUNTRIES` and whatever is surely no number of any
country; and what is still open goes to the `phonenumbers` library. All of them give the same answers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from line_ads_pipeline.identifiers.numbering_plans import (
    PLAN_COUNTRIES,
    NumberingPlan,
    conceivable_number,
    numbering_plan,
)
from line_ads_pipeline.identifiers.outcomes import OUTCOME_DTYPE, outcome
from line_ads_pipeline.identifiers.phone_library import (
    FEWEST_DIGITS,
    FEWEST_GIVEN_DIGITS,
    MOST_GIVEN_DIGITS,
    Reading,
    library_reader,
    read_with_library,
)
from line_ads_pipeline.identifiers.phone_writing import SHORTEST_HASH, with_odd_numbers, with_plain_numbers
from line_ads_pipeline.identifiers.rules import PhoneRules
from line_ads_pipeline.identifiers.stages import Reader, decide


def phone_reader(rules: PhoneRules) -> Reader:
    """Make what reads a batch of phone numbers.

    `normalised` holds the digits to hash, or the digest that was given as 64 hex digits, else NULL.
    """
    return _Stages(rules, library_reader(rules)).read


@dataclass(frozen=True)
class _Stages:
    """Each reads the rows of a batch that the one before left open, dearer than it and fewer."""

    rules: PhoneRules
    look_up: Callable[[str], Reading]

    def read(self, batch: pl.DataFrame) -> pl.DataFrame:
        text = pl.col("text")
        short = text.str.len_bytes() < SHORTEST_HASH
        usual = pl.when(short).then(text.str.replace_all("-", "", literal=True))
        own = _own_digits(usual, self.rules)
        return decide(batch, own, decided_as="hashed", others=self._read_unusual)

    def _read_unusual(self, batch: pl.DataFrame) -> pl.DataFrame:
        own = _own_digits(pl.col("number"), self.rules)
        return decide(with_plain_numbers(batch), own, decided_as="hashed", others=self._read_odd)

    def _read_odd(self, batch: pl.DataFrame) -> pl.DataFrame:
        own = _own_digits(pl.col("number"), self.rules)
        return decide(with_odd_numbers(batch), own, decided_as="hashed", others=self._read_foreign)

    def _read_foreign(self, numbers: pl.DataFrame) -> pl.DataFrame:
        decided = numbers.lazy().pipe(_decide, self.rules).collect(engine="in-memory")
        digits, reason = decided["digits"], decided["reason"]
        open_texts = decided.select(pl.when(digits.is_null() & reason.is_null()).then("text")).to_series()
        library = read_with_library(open_texts, self.look_up).struct.unnest()
        return decided.select(
            "row",
            normalised=pl.coalesce(digits, "digest", library["normalised"]),
            outcome=pl.when(digits.is_not_null())
            .then(outcome("hashed"))
            .otherwise(pl.coalesce(reason, library["outcome"])),
        )


def _own_digits(number: pl.Expr, rules: PhoneRules) -> pl.Expr:
    """The digits to hash of the default country's valid numbers, written with its calling code after a `+` or not."""
    if rules.phone_format == "as_given":
        fits = number.str.contains(f"^[+]?[0-9]{{{FEWEST_GIVEN_DIGITS},{MOST_GIVEN_DIGITS}}}$")
        return pl.when(fits).then(number).str.strip_prefix("+")
    if rules.default_country not in PLAN_COUNTRIES:
        return pl.lit(None, pl.String)
    plan = numbering_plan(rules.default_country)
    national = number.str.strip_prefix(f"+{plan.calling_code}")
    # No valid number of these countries starts like their exit codes, but for those that start with 00.
    valid = national.str.contains(f"^0?(?:{plan.subscriber})$") & ~national.str.starts_with("00")
    subscriber = pl.when(valid).then(national).str.strip_prefix("0")
    return _dialled(subscriber, plan) if rules.phone_format == "national" else plan.calling_code + subscriber


def _decide(numbers: pl.LazyFrame, rules: PhoneRules) -> pl.LazyFrame:
    """Add `digits`, and to `reason` why there are none; both are NULL for what only the library can tell."""
    number, digits = pl.col("number"), pl.col("digits")
    if rules.phone_format == "as_given":
        wrong_length = pl.when(number.is_not_null()).then(outcome("invalid_number"))
        return numbers.with_columns(
            digits=pl.lit(None, pl.String), reason=pl.coalesce("reason", wrong_length)
        )
    country = rules.default_country
    plan = numbering_plan(country) if country in PLAN_COUNTRIES else None
    takes_bare = plan is not None or country is None
    return (
        numbers.with_columns(abroad=_international_number(number, plan, takes_bare=takes_bare))
        .with_columns(digits=_number_of_known_plan(pl.col("abroad")))
        .with_columns(
            digits=_nationally(digits) if rules.phone_format == "national" else digits,
            reason=pl.coalesce(
                "reason", pl.when(digits.is_null()).then(_refusal(rules, takes_bare=takes_bare))
            ),
        )
    )


def _international_number(number: pl.Expr, plan: NumberingPlan | None, *, takes_bare: bool) -> pl.Expr:
    """What follows `+`, an exit code or (with `takes_bare`) nothing at all."""
    zeros, after_zeros = number.str.starts_with("00"), number.str.slice(2)
    numbers = [pl.when(number.str.starts_with("+")).then(number.str.slice(1))]
    if plan:
        has_exit_code = number.str.contains(f"^(?:{plan.exit_codes})[1-9]")
        exits = has_exit_code & ~(zeros & _is_conceivable(after_zeros))
        numbers.append(pl.when(exits).then(number.str.slice(plan.exit_length)))
    numbers.append(pl.when(zeros).then(after_zeros))
    if takes_bare:
        numbers.append(pl.when(~number.str.starts_with("0")).then(number))
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
    """Why a number without digits is surely none, in the words of `read_number`; NULL where it may be one."""
    if rules.phone_validation == "possible" and rules.default_country is not None:
        return pl.lit(None, OUTCOME_DTYPE)
    number, abroad = pl.col("number"), pl.col("abroad")
    open_ = number.str.starts_with("00")
    if takes_bare:
        open_ &= ~number.str.contains("^0+$")
    conceivable = _is_conceivable(abroad).fill_null(not takes_bare)
    reason: pl.Expr = outcome("invalid_number")
    if rules.default_country is None:
        reason = pl.when(number.str.starts_with("+")).then(reason).otherwise(outcome("no_country"))
    if rules.phone_validation == "possible":
        open_ |= number.str.starts_with("+")
    few = number.str.strip_prefix("+").str.len_bytes() < FEWEST_DIGITS
    return pl.when(~open_ & ~conceivable).then(
        pl.when(few).then(outcome("not_a_phone_number")).otherwise(reason)
    )


def _nationally(digits: pl.Expr) -> pl.Expr:
    """International digits as they are dialled inside their own country of `PLAN_COUNTRIES`."""
    numbers = []
    for plan in map(numbering_plan, PLAN_COUNTRIES):
        here = pl.when(digits.str.starts_with(plan.calling_code)).then(digits)
        numbers.append(_dialled(here.str.slice(len(plan.calling_code)), plan))
    return pl.coalesce(numbers)


def _dialled(subscriber: pl.Expr, plan: NumberingPlan) -> pl.Expr:
    trunkless = pl.lit(False)
    for first_digits, all_digits in plan.trunkless:
        fits_start = subscriber.str.contains(f"^(?:{first_digits})")
        trunkless |= fits_start & subscriber.str.contains(f"^{all_digits}$")
    return pl.when(trunkless).then(subscriber).otherwise(plan.trunk + subscriber)
