"""What becomes of a phone number, case by case."""

import hashlib

import polars as pl
import pytest

from line_ads_pipeline.identifiers import PhoneRules
from line_ads_pipeline.identifiers.identify import normalise

MOBILE = "819012345678"
JP = PhoneRules(default_country="JP")
ABROAD = PhoneRules()
DIGEST = hashlib.sha256(MOBILE.encode()).hexdigest()
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def read(value, rules):
    frame = pl.LazyFrame({"phone": pl.Series([value], dtype=pl.String)})
    [row] = normalise(frame, "phone", rules).collect().rows()
    return row


UNDERSTOOD = {
    "half-width katakana mark as hyphen": (
        "090\uff7012 34\uff705678".replace("12 34", "1234"),
        JP,
        MOBILE,
    ),
    "minus sign": ("090\u22121234\u22125678", JP, MOBILE),
    "full-width plus, brackets and spaces": ("+81 (0)90 1234 5678".translate(FULL_WIDTH), JP, MOBILE),
    "marks between the digits": ("090\u200b1234\u200e56\ufeff78", JP, MOBILE),
    "vertical tabs around": ("\v090-1234-5678\v", JP, MOBILE),
    "Arabic-Indic digits": (
        "\u0660\u0669\u0660-\u0661\u0662\u0663\u0664-\u0665\u0666\u0667\u0668",
        JP,
        MOBILE,
    ),
    "Devanagari digits": (
        "\u0966\u096f\u0966\u0967\u0968\u0969\u096a\u096b\u096c\u096d\u096e",
        JP,
        MOBILE,
    ),
    "RFC 3966 with a context": ("tel:90-1234-5678;phone-context=+81", PhoneRules("TW"), MOBILE),
    "a label in front": ("\u81ea\u5b85\uff1a03-1234-5678", JP, "81312345678"),
    "RFC 3966 extension": ("tel:+81-3-1234-5678;ext=12", JP, "81312345678"),
    "x extension": ("03-1234-5678 x12", JP, "81312345678"),
    "hash extension": ("03-1234-5678#12", JP, "81312345678"),
    "full-width extension": ("03-1234-5678 ext.12".translate(FULL_WIDTH), JP, "81312345678"),
    "Japanese extension": ("03-1234-5678\uff08\u5185\u7dda12\uff09", JP, "81312345678"),
    "Taiwanese extension": ("02-2345-6789 \u5206\u6a5f 123", PhoneRules("TW"), "886223456789"),
    "Thai extension": ("02-123-4567 \u0e15\u0e48\u0e2d 12", PhoneRules("TH"), "6621234567"),
    "plus wins over the default": ("+66 81 234 5678", JP, "66812345678"),
    "00 wins over Thailand's exit code 008": ("00819012345678", PhoneRules("TH"), MOBILE),
    "00 without a default": ("00 81 90-1234-5678", ABROAD, MOBILE),
    "010 is Japan's exit code": ("010-66-81-234-5678", JP, "66812345678"),
    "010 is no exit code without a default": ("010-66-81-234-5678", ABROAD, None),
    "002 is Taiwan's exit code": ("002 886 912 345 678", PhoneRules("TW"), "886912345678"),
    "001 is Thailand's exit code": ("001 81 90 1234 5678", PhoneRules("TH"), MOBILE),
    "another country's code without plus": ("66812345678", JP, "66812345678"),
    "national before international": ("62812345678", PhoneRules("ID"), "6262812345678"),
    "a trunk zero after the code without plus": ("81 090 1234 5678", JP, MOBILE),
    "Italy keeps its zero": ("+39 06 6982 1234", JP, "390669821234"),
    "Argentina's mobile 15": ("011 15-2345-6789", PhoneRules("AR"), "5491123456789"),
}


@pytest.mark.parametrize(
    ("value", "rules", "digits"),
    UNDERSTOOD.values(),
    ids=UNDERSTOOD,
)
def test_international(value, rules, digits):
    assert read(value, rules) == (digits, "hashed" if digits else "no_country")


SKIPPED = {
    "national without a default": ("090-1234-5678", ABROAD, "no_country"),
    "national without zero and default": ("9012345678", ABROAD, "no_country"),
    "unassigned with plus": ("+81 90 0234 5678", ABROAD, "invalid_number"),
    "too short": ("090-1234-567", JP, "invalid_number"),
    "too long": ("090-1234-56789", JP, "invalid_number"),
    "two numbers": ("090-1234-5678 / 03-1234-5678", JP, "invalid_number"),
    "a number with a tab inside": ("090\t1234\t5678", JP, "invalid_number"),
    "masked": ("+1 212 XXX XXXX", JP, "not_a_phone_number"),
    "letters of a keypad": ("1-800-FLOWERS", PhoneRules("US"), "not_a_phone_number"),
    "a letter for a zero": ("O90-1234-5678 O", JP, "not_a_phone_number"),
    "an e-mail address": ("taro0312345678@example.com", JP, "not_a_phone_number"),
    "a service code": ("#31#090-1234-5678*", JP, "not_a_phone_number"),
    "a float as text": ("9012345678.0", JP, "decimal_number"),
    "a float that reads as a longer number": ("81234567890.0", PhoneRules("ID"), "decimal_number"),
    "scientific notation": ("9.0123E+09", JP, "decimal_number"),
    "full-width scientific notation": ("9.012345678E9".translate(FULL_WIDTH), JP, "decimal_number"),
    "superscript digits": ("090-1234-567\u2078", JP, "not_a_phone_number"),
    "enormous": ("0" * 10_000, JP, "not_a_phone_number"),
    "enormous gap": ("090" + " " * 1_000_000 + "1234 5678", JP, "not_a_phone_number"),
    "MD5": (hashlib.md5(b"x").hexdigest(), JP, "unknown_hash"),
    "hash of the empty text": (hashlib.sha256().hexdigest(), JP, "hash_of_empty_string"),
    "null": (None, JP, "null"),
    "invisible": ("\u200b", JP, "blank"),
}


@pytest.mark.parametrize(
    ("value", "rules", "reason"),
    SKIPPED.values(),
    ids=SKIPPED,
)
def test_skipped(value, rules, reason):
    assert read(value, rules) == (None, reason)


def test_a_sha256_in_full_width_digits_passes():
    assert read(DIGEST.translate(FULL_WIDTH), JP) == (DIGEST, "already_hashed")


@pytest.mark.parametrize("phone_format", ["international", "national", "as_given"])
def test_64_decimal_digits_are_a_digest(phone_format):
    assert read("12" * 32, PhoneRules("JP", phone_format)) == ("12" * 32, "already_hashed")


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("+81 90-1234-5678", "09012345678"),
        ("0120-123-456", "0120123456"),
        ("+66 1800 123 456", "1800123456"),
        ("+62 21 8350123", "0218350123"),
        ("+886 2 2345 6789", "0223456789"),
        ("+1 616-954-7888", "6169547888"),
        ("+82 10-1234-5678", "01012345678"),
        ("+81 3-1234-5678 ext. 12", "0312345678"),
    ],
)
def test_national_gives_what_is_dialled_inside_the_country(value, digits):
    assert read(value, PhoneRules("JP", phone_format="national")) == (digits, "hashed")


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("090-1234-5678", ("09012345678", "hashed")),
        ("+81 (0)90 1234 5678", ("8109012345678", "hashed")),
        ("0081-90-1234-5678", ("00819012345678", "hashed")),
        (
            "\uff10\uff19\uff10\u30fc\uff11\uff12\uff13\uff14\u30fc\uff15\uff16\uff17\uff18",
            ("09012345678", "hashed"),
        ),
        ("000-0000-0000", ("00000000000", "hashed")),
        ("TEL 03-1234-5678 ext. 12", ("0312345678", "hashed")),
        ("090-XXXX-5678", (None, "not_a_phone_number")),
        ("N/A", (None, "not_a_phone_number")),
        ("110", (None, "invalid_number")),
        ("1" * 21, (None, "invalid_number")),
        ("9012345678.0", (None, "decimal_number")),
    ],
)
@pytest.mark.parametrize("country", [None, "JP"])
def test_as_given_only_strips_what_is_no_digit(value, country, answer):
    assert read(value, PhoneRules(country, phone_format="as_given")) == answer


@pytest.mark.parametrize(
    ("value", "country", "valid", "possible"),
    [
        ("090-0000-0000", "JP", "invalid_number", "819000000000"),
        ("+81 90 0000 0000", None, "invalid_number", "819000000000"),
        ("090-1234-5678", "JP", MOBILE, MOBILE),
        ("66812345678", "JP", "66812345678", "66812345678"),
        ("09012345678", None, "no_country", "no_country"),
        ("9012345678", None, "no_country", "no_country"),
        ("+1 23", None, "invalid_number", "invalid_number"),
    ],
)
def test_possible_checks_lengths_only(value, country, valid, possible):
    for validation, expected in (("valid", valid), ("possible", possible)):
        digits, outcome = read(value, PhoneRules(country, phone_validation=validation))
        assert (digits or outcome) == expected


@pytest.mark.parametrize("country", ["jp", "Japan", "ZZ", "001", "", "UK"])
def test_an_unknown_country_is_refused_with_what_to_write(country):
    with pytest.raises(ValueError, match="write its ISO 3166 code, two capital letters such as JP"):
        PhoneRules(default_country=country)
