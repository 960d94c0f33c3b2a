"""National numbering plans as regular expressions for Polars, assembled from the metadata of `phonenumbers`.

Nothing is copied from a plan: a newer release of the library changes both the vectorised rules and its own verdicts.
"""

import re
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc, country_code_for_region

PLAN_COUNTRIES: Final = ("JP", "TW", "TH", "ID")
"""The countries where LINE is at home, whose numbers are decided without the library."""


@dataclass(frozen=True)
class NumberingPlan:
    """One country's numbers.

    Attributes:
        calling_code: Digits such as `81`.
        subscriber: Regex of the valid numbers without trunk prefix, not anchored.
        trunk: What is dialled before a number inside the country: `0`.
        exit_codes: Regex of the codes dialled before an international number, not anchored.
        exit_length: How many digits those codes have.
        trunkless: Numbers dialled without the trunk prefix: a regex of their first digits, one of the whole.
    """

    calling_code: str
    subscriber: str
    trunk: str
    exit_codes: str
    exit_length: int
    trunkless: tuple[tuple[str, str], ...]


@cache
def numbering_plan(country: str) -> NumberingPlan:
    """The plan of one of `PLAN_COUNTRIES`.

    The vectorised rules rely on what these plans share, and tests hold for each release of the library: the
    country is alone under its calling code; before a number that starts with 1 to 9 the trunk prefix is a plain
    `0`; exit codes start with `0` and have one length; a number has one way of writing, with trunk prefix or not.
    """
    metadata = _metadata(country_code_for_region(country), country)
    exit_codes = [
        "".join(digits)
        for length in (2, 3, 4)
        for digits in product("0123456789", repeat=length)
        if re.fullmatch(metadata.international_prefix or "", "".join(digits))
    ]
    return NumberingPlan(
        calling_code=str(metadata.country_code),
        subscriber=_subscriber_numbers(metadata),
        trunk=metadata.national_prefix or "",
        exit_codes="|".join(exit_codes),
        exit_length=len(exit_codes[0]),
        trunkless=tuple(
            (_ascii_digits(form.leading_digits_pattern[-1]), _ascii_digits(form.pattern or ""))
            for form in metadata.number_format
            if not form.national_prefix_formatting_rule
            and not form.leading_digits_pattern[-1].startswith("0")
        ),
    )


@cache
def conceivable_number() -> str:
    """Regex that matches at least every valid number of the world, as E.164 digits without `+`.

    What does not match is refused without asking the library. What matches may be invalid still: where a plan
    rewrites numbers after their national prefix, anything with that prefix matches.
    """
    countries = []
    for calling_code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        plans = [_metadata(calling_code, region) for region in regions]
        numbers = "|".join(filter(None, map(_subscriber_numbers, plans)))
        main = plans[0]
        prefix = _ascii_digits(main.national_prefix_for_parsing or "")
        if not prefix:
            national = f"(?:{numbers})"
        elif main.national_prefix_transform_rule:
            national = f"(?:(?:{numbers})|(?:{prefix}).*)"
        else:
            national = f"(?:{prefix}){{0,2}}(?:{numbers})"
        countries.append(f"{calling_code}{national}")
    return f"^(?:{'|'.join(countries)})$"


def _metadata(calling_code: int, region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(calling_code, region)
    if metadata is None:
        raise LookupError(f"the installed phonenumbers has no numbering plan of {region}")
    return metadata


def _subscriber_numbers(metadata: PhoneMetadata) -> str:
    kinds: tuple[PhoneNumberDesc | None, ...] = (
        metadata.fixed_line,
        metadata.mobile,
        metadata.toll_free,
        metadata.premium_rate,
        metadata.shared_cost,
        metadata.personal_number,
        metadata.voip,
        metadata.pager,
        metadata.uan,
        metadata.voicemail,
    )
    patterns = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return "|".join(map(_ascii_digits, dict.fromkeys(patterns)))


def _ascii_digits(pattern: str) -> str:
    # \d means every digit of Unicode in Rust's regex as in Python's, which makes an automaton hundreds of times larger.
    return pattern.replace(r"\d", "[0-9]")
