"""E-mail addresses as people type them and systems keep them."""

import hashlib
from itertools import product

import polars as pl

from benchmarks.chance import Spellings, choice, digits, draw, hex_digits, weighted

FULL_WIDTH = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)}

_DOMAINS = {
    "example.jp": 50,
    "example.com": 20,
    "example.co.jp": 10,
    "example.net": 10,
    "mail.example.jp": 5,
    "example.org": 5,
}
_SYLLABLES = [f"{consonant}{vowel}" for consonant, vowel in product("bdghjkmnprstwyz", "aeiou")]
_SPACES = ((" ", ""), ("", " "), ("", "\t"), ("  ", " "), ("", "\r\n"), ("\xa0", ""))
_WIDE_SPACES = (("\u3000", ""), ("", "\u3000"), ("\u3000", "\u3000 "))
_MARKS = (("\ufeff", ""), ("", "\u200b"), ("\u200e", ""))
_USELESS_HASHES = [hashlib.new(name, b"", usedforsecurity=False).hexdigest() for name in ("sha256", "md5")]
_NO_ADDRESSES = [
    "-",
    "none",
    "\u306a\u3057",
    "@example.jp",
    "taro@localhost",
    "taro@@example.jp",
    ".taro@example.jp",
]
_AFTERTHOUGHTS = ["; info@example.com", "\u00e9", "."]


def email_spellings() -> Spellings:
    """Of the person's address, by columns `row` and `person`."""
    address = _address()
    return {
        "clean": (800, address),
        "mixed case": (60, _mixed_case(address)),
        "spaces around": (40, _between(_SPACES, address)),
        "full-width spaces around": (12, _between(_WIDE_SPACES, address)),
        "invisible marks around": (5, _between(_MARKS, address)),
        "full-width": (8, address.str.replace_many(FULL_WIDTH)),
        "full-width digits": (
            5,
            address.str.replace_many({digit: FULL_WIDTH[digit] for digit in "0123456789"}),
        ),
        "hashed already": (15, _digest()),
        "hashed already, in capitals": (5, _digest().str.to_uppercase()),
        "another hash": (5, choice("hash", _USELESS_HASHES)),
        "NULL": (20, pl.lit(None, pl.String)),
        "blank": (10, choice("blank", ["", " ", "\t", "\u3000"])),
        "no address": (8, choice("no address", _NO_ADDRESSES)),
        "too long": (2, pl.lit("x." * 60) + address),
        "afterthought": (5, address + choice("afterthought", _AFTERTHOUGHTS)),
    }


def _address() -> pl.Expr:
    first = choice("first", _words(3), of="person")
    second = choice("second", _words(2), of="person")
    style = draw("style", below=3, of="person")
    local = (
        pl.when(style == 0)
        .then(first + digits("number", 4, of="person"))
        .when(style == 1)
        .then(second + "." + first + digits("number", 2, of="person"))
        .otherwise(first + "_" + second)
    )
    return local + "@" + weighted("domain", _DOMAINS, of="person")


def _words(syllables: int) -> pl.Series:
    return pl.Series(["".join(word) for word in product(_SYLLABLES, repeat=syllables)])


def _mixed_case(address: pl.Expr) -> pl.Expr:
    style = draw("case", below=4)
    return (
        pl.when(style == 0)
        .then(address.str.to_uppercase())
        .when(style == 1)
        .then(address.str.replace("@e", "@E", literal=True))
        .otherwise(address.str.head(1).str.to_uppercase() + address.str.slice(1))
    )


def _between(surroundings: tuple[tuple[str, str], ...], address: pl.Expr) -> pl.Expr:
    before, behind = zip(*surroundings, strict=True)
    return choice("around", before) + address + choice("around", behind)


def _digest() -> pl.Expr:
    return hex_digits("digest", 64, of="person")
