"""What becomes of an e-mail address, case by case."""

import hashlib

import polars as pl
import pytest

from line_ads_pipeline.identifiers import EmailRules
from line_ads_pipeline.identifiers.identify import normalise

DIGEST = hashlib.sha256(b"taro@example.com").hexdigest()


def read(value, rules=EmailRules()):  # noqa: B008 -- frozen
    frame = pl.LazyFrame({"email": pl.Series([value], dtype=pl.String)})
    [row] = normalise(frame, "email", rules).collect().rows()
    return row


UNDERSTOOD = {
    "vertical tab and form feed around": ("\vtaro@example.com\f", "taro@example.com"),
    "no-break and narrow spaces around": ("\xa0taro@example.com\u202f", "taro@example.com"),
    "zero-width space at the end": ("taro@example.com\u200b", "taro@example.com"),
    "direction marks around, as address books copy them": (
        "\u202ataro@example.com\u202c",
        "taro@example.com",
    ),
    "right-to-left mark in front": ("\u200ftaro@example.com", "taro@example.com"),
    "space inside invisible marks": ("\ufeff taro@example.com \u200e", "taro@example.com"),
    "Kelvin sign is the letter K": ("\u212aen@example.com", "ken@example.com"),
    "long s is the letter s": ("ta\u017fo@example.com", "taso@example.com"),
    "ligature is two letters": ("\ufb01ne@example.com", "fine@example.com"),
    "full-width full stop": ("taro@example\uff0ecom", "taro@example.com"),
    "small commercial at": ("taro\ufe6bexample.com", "taro@example.com"),
    "every sign of an RFC 5322 atom": (
        "!#$%&'*+/=?^_`{|}~-@example.com",
        "!#$%&'*+/=?^_`{|}~-@example.com",
    ),
    "label of 63 characters": (f"a@{'b' * 63}.jp", f"a@{'b' * 63}.jp"),
    "carrier address of dots only after a letter": ("T....@DoCoMo.ne.jp", "t....@docomo.ne.jp"),
    "no Gmail folding": ("T.a.r.o+Shop@GoogleMail.com", "t.a.r.o+shop@googlemail.com"),
}


@pytest.mark.parametrize(
    ("value", "address"),
    UNDERSTOOD.values(),
    ids=UNDERSTOOD,
)
def test_understood(value, address):
    assert read(value) == (address, "hashed")


SKIPPED = {
    "dotted capital I lower-cases to two characters": ("\u0130taro@example.com", "non_ascii"),
    "dotless i": ("m\u0131ke@example.com", "non_ascii"),
    "Cyrillic look-alike": ("t\u0430ro@example.com", "non_ascii"),
    "ideographic full stop in the domain": ("taro@example\u3002com", "non_ascii"),
    "soft hyphen inside": ("ta\xadro@example.com", "non_ascii"),
    "right-to-left mark inside": ("taro@\u200fexample.com", "non_ascii"),
    "NFKC makes a space of an en space inside": ("ta\u2002ro@example.com", "not_an_email_address"),
    "NFKC makes a second @": ("taro\uff20@example.com", "not_an_email_address"),
    "NFKC makes three dots of an ellipsis": ("taro\u2026@example.com", "not_an_email_address"),
    "line end inside": ("taro@example.com\nhanako@example.com", "not_an_email_address"),
    "null character": ("taro@example.com\0", "not_an_email_address"),
    "two addresses": ("taro@example.com;hanako@example.com", "not_an_email_address"),
    "name and address": ("Taro <taro@example.com>", "not_an_email_address"),
    "label that starts with a hyphen": ("taro@-example.com", "not_an_email_address"),
    "label that ends with a hyphen": ("taro@example-.com", "not_an_email_address"),
    "label of 64 characters": (f"a@{'b' * 64}.jp", "not_an_email_address"),
    "underscore in the domain": ("taro@ex_ample.com", "not_an_email_address"),
    "empty label": ("taro@example..com", "not_an_email_address"),
    "carrier address that starts with a dot": (".taro@docomo.ne.jp", "not_an_email_address"),
    "doubled dots under another ending of a carrier's name": (
        "t..t@notdocomo.ne.jp",
        "not_an_email_address",
    ),
    "long address": (f"{'a' * 60}@{'b' * 60}.com", "too_long"),
    "invisible marks only": ("\u200b\ufeff", "blank"),
    "ideographic space only": ("\u3000", "blank"),
    "no value": (None, "null"),
    "MD5": (hashlib.md5(b"taro@example.com").hexdigest(), "unknown_hash"),
    "SHA-1 in capitals": (hashlib.sha1(b"taro@example.com").hexdigest().upper(), "unknown_hash"),
    "SHA-512": (hashlib.sha512(b"taro@example.com").hexdigest(), "unknown_hash"),
    "SHA-256 in PostgreSQL's bytea form": (rf"\x{DIGEST}", "unknown_hash"),
    "MD5 in base64": ("XrY7u+Ae7tCTyyK7j1rNww==", "unknown_hash"),
    "hash of the empty text, in capitals": (hashlib.sha256().hexdigest().upper(), "hash_of_empty_string"),
}


@pytest.mark.parametrize(
    ("value", "reason"),
    SKIPPED.values(),
    ids=SKIPPED,
)
def test_skipped(value, reason):
    assert read(value) == (None, reason)


@pytest.mark.parametrize(
    "form", [DIGEST, DIGEST.upper(), f"\t{DIGEST}\u200b"], ids=["lower", "upper", "surrounded"]
)
def test_a_sha256_passes_in_lower_case(form):
    assert read(form) == (DIGEST, "already_hashed")


def test_a_sha256_in_full_width_characters_passes_too():
    assert read(DIGEST.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})) == (
        DIGEST,
        "already_hashed",
    )


@pytest.mark.parametrize("sign", sorted("!#$%&'*+/=?^`{|}~"))
def test_strict_line_characters_skips_what_the_manual_does_not_list(sign):
    strict = EmailRules(strict_line_characters=True)
    assert read(f"ta{sign}ro@example.com") == (f"ta{sign}ro@example.com", "hashed")
    assert read(f"ta{sign}ro@example.com", strict) == (None, "not_line_characters")
    assert read("ta_r-o.1@example.com", strict) == ("ta_r-o.1@example.com", "hashed")
    assert read("taro", strict) == (None, "not_an_email_address")
