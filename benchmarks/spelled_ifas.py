"""Mobile ad ids as apps collect them: capitals from iOS, small letters from Android."""

import polars as pl

from benchmarks.chance import Spellings, choice, happens, hex_digits

_GROUPS = (8, 4, 4, 4, 12)


def ifa_spellings() -> Spellings:
    """Of the person's id, by columns `row` and `person`."""
    ifa = _ifa()
    around = choice("before", ["", " ", "\t"]) + ifa + choice("behind", [" ", "\r\n", "\u3000"])
    return {
        "clean": (900, ifa),
        "spaces around": (30, around),
        "all zeros": (40, pl.lit("00000000-0000-0000-0000-000000000000")),
        "no id": (10, choice("no id", ["unknown", "null", "0", "{ifa}"])),
        "NULL": (15, pl.lit(None, pl.String)),
        "blank": (5, choice("blank", ["", " "])),
    }


def _ifa() -> pl.Expr:
    groups = [hex_digits(f"group {number}", length, of="person") for number, length in enumerate(_GROUPS)]
    ifa = pl.concat_str(groups, separator="-")
    return pl.when(happens("capitals", 40, of="person")).then(ifa.str.to_uppercase()).otherwise(ifa)
