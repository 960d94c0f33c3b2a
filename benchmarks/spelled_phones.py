"""Japanese phone numbers as people type them and systems keep them."""

import polars as pl

from benchmarks.chance import Spellings, choice, digits, happens, weighted
from benchmarks.spelled_emails import FULL_WIDTH

_MOBILES = {"90": 30, "80": 30, "70": 20}
_AREAS = {"3": 8, "6": 4}
_SMALL_AREAS = {"45": 2, "52": 2, "11": 1, "75": 1, "92": 1}
_AREA_DIGITS = "456"
_NO_NUMBERS = ["-", "\u306a\u3057", "unknown", "0", "000-0000-0000", "1234", "***"]


def phone_spellings() -> Spellings:
    """Of the person's number, by columns `row` and `person`."""
    prefix, middle, last = _number()
    hyphens, plain = _joined("0", prefix, "-", middle, "-", last), _joined("0", prefix, middle, last)
    return {
        "hyphens": (380, hyphens),
        "digits only": (315, plain),
        "+81 and hyphens": (60, _joined("+81-", prefix, "-", middle, "-", last)),
        "+81 and digits": (60, _joined("+81", prefix, middle, last)),
        "+81(0)": (
            30,
            pl.when(happens("hyphens", 50))
            .then(_joined("+81(0)", prefix, "-", middle, "-", last))
            .otherwise(_joined("+81 (0) ", prefix, middle, last)),
        ),
        "81 without a plus": (10, _joined("81", prefix, middle, last)),
        "brackets": (
            30,
            pl.when(happens("brackets", 50))
            .then(_joined("(0", prefix, ") ", middle, "-", last))
            .otherwise(_joined("0", prefix, "(", middle, ")", last)),
        ),
        "spaces": (25, _joined("0", prefix, " ", middle, " ", last)),
        "dots": (10, _joined("0", prefix, ".", middle, ".", last)),
        "full-width": (25, hyphens.str.replace_many(FULL_WIDTH)),
        "spaces around": (
            10,
            choice("before", ["", " ", "\u3000"]) + hyphens + choice("behind", [" ", "\t", "\r\n"]),
        ),
        "label": (4, choice("label", ["TEL:", "Tel: ", "\u643a\u5e2f ", "\u81ea\u5b85\uff1a"]) + hyphens),
        "extension": (
            3,
            hyphens + choice("extension", [" ext. ", " \u5185\u7dda", " x"]) + digits("extension", 3),
        ),
        "remark": (3, hyphens + choice("remark", ["\uff08\u81ea\u5b85\uff09", " (home)", " \u592b"])),
        "no such number": (10, choice("wrong", ["099", "0900", "+8190", "+999"]) + digits("wrong", 5)),
        "no number": (5, choice("none", _NO_NUMBERS)),
        "blank": (8, choice("blank", ["", " ", "\u3000"])),
        "NULL": (12, pl.lit(None, pl.String)),
    }


def _number() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Prefix without its zero, the middle and the last four digits, of a mobile or of a landline."""
    prefix = weighted("prefix", _MOBILES | _AREAS | _SMALL_AREAS, of="person")
    mobile = digits("mobile", 4, first="123456789", of="person")
    large = digits("large area", 4, first=_AREA_DIGITS, of="person")
    small = digits("small area", 3, first=_AREA_DIGITS, of="person")
    middle = (
        pl.when(prefix.is_in(list(_MOBILES))).then(mobile).when(prefix.is_in(list(_AREAS))).then(large)
    ).otherwise(small)
    return prefix, middle, digits("last", 4, of="person")


def _joined(*parts: str | pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])
