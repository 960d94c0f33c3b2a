"""What becomes of a mobile ad id, case by case."""

import hashlib

import polars as pl
import pytest

from line_ads_pipeline.identifiers import IfaRules, identify

IFA = "F81d4fae-7Dec-11D0-a765-00A0C91e6bf6"
DIGEST = hashlib.sha256(IFA.lower().encode()).digest()


def read(value, rules):
    frame = pl.LazyFrame({"ifa": pl.Series([value], dtype=pl.String)})
    [row] = identify(frame, "ifa", rules).collect().rows()
    return row


@pytest.mark.parametrize(
    ("case", "expected"),
    [("preserve", IFA), ("lower", IFA.lower()), ("upper", IFA.upper())],
    ids=lambda value: value,
)
def test_case(case, expected):
    assert read(f"\ufeff {IFA}\r\n", IfaRules(ifa_case=case)) == (expected.encode(), "as_is")


@pytest.mark.parametrize("case", ["preserve", "lower"])
@pytest.mark.parametrize("value", [IFA, IFA.lower(), IFA.upper()], ids=["mixed", "lower", "upper"])
def test_hash_ifa_hashes_lower_case(value, case):
    assert read(value, IfaRules(hash_ifa=True, ifa_case=case)) == (DIGEST, "hashed")


def test_hash_ifa_lets_digests_pass():
    assert read(DIGEST.hex().upper(), IfaRules(hash_ifa=True)) == (DIGEST, "already_hashed")


@pytest.mark.parametrize(
    ("value", "plain_reason", "hashed_reason"),
    [
        (None, "null", "null"),
        (" \u200b", "blank", "blank"),
        ("00000000-0000-0000-0000-000000000000", "all_zero_ifa", "all_zero_ifa"),
        (hashlib.sha256().hexdigest(), "hashed_ifa", "hash_of_empty_string"),
        (hashlib.md5(IFA.encode()).hexdigest(), "not_an_ifa", "unknown_hash"),
        ("{" + IFA + "}", "not_an_ifa", "not_an_ifa"),
        (IFA.replace("-", "\u2010"), "not_an_ifa", "not_an_ifa"),
        (IFA.replace("1", "\uff11"), "not_an_ifa", "not_an_ifa"),
        (IFA + IFA, "not_an_ifa", "not_an_ifa"),
    ],
    ids=["null", "blank", "zeros", "empty hash", "md5", "braces", "other hyphens", "full-width", "twice"],
)
def test_skipped(value, plain_reason, hashed_reason):
    assert read(value, IfaRules()) == (None, plain_reason)
    assert read(value, IfaRules(hash_ifa=True)) == (None, hashed_reason)


def test_a_digest_is_no_plain_ifa():
    assert read(DIGEST.hex(), IfaRules()) == (None, "hashed_ifa")


def test_upper_case_and_hashing_contradict_each_other():
    with pytest.raises(ValueError, match="ifa_case upper has no effect with hash_ifa"):
        IfaRules(hash_ifa=True, ifa_case="upper")


@pytest.mark.parametrize("case", ["preserve", "lower", "upper"])
def test_letters_whose_capitals_are_hex_digits_are_none(case):
    ligature = "\N{LATIN SMALL LIGATURE FF}"
    assert ligature.upper() == "FF"
    assert read(ligature + IFA[2:], IfaRules(case)) == (None, "not_an_ifa")
