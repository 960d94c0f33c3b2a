"""Random draws as Polars expressions: a hash of a number, so that neither threads nor batches change a draw."""

from collections.abc import Mapping, Sequence
from zlib import crc32

import polars as pl

SEED = 20260101

Spellings = Mapping[str, tuple[int, pl.Expr]]
"""Ways in which something stands in a table, by their names: of how many in all, and what is written."""


def draw(use: str, *, below: int, of: str = "row") -> pl.Expr:
    """A whole number from 0 up to, but not including, `below`.

    Args:
        use: What the draw is for; draws for different uses are independent.
        below: The end of the range.
        of: The column of numbers that are drawn for: the same number draws the same.
    """
    return pl.col(of).hash(crc32(f"{SEED}{use}".encode())) % below


def happens(use: str, percent: int, *, of: str = "row") -> pl.Expr:
    """True in so many of a hundred cases."""
    return draw(use, below=100, of=of) < percent


def choice(use: str, words: Sequence[str] | pl.Series, *, of: str = "row") -> pl.Expr:
    """One of some texts, each as likely as the others."""
    return pl.lit(pl.Series(words)).gather(draw(use, below=len(words), of=of))


def weighted(use: str, weights: Mapping[str, int], *, of: str = "row") -> pl.Expr:
    """One of some texts, by their weights."""
    return choice(use, [text for text, weight in weights.items() for _ in range(weight)], of=of)


def digits(use: str, length: int, *, first: str = "0123456789", of: str = "row") -> pl.Expr:
    """A text of so many digits, the first of them out of `first`."""
    rest = draw(use, below=10 ** (length - 1), of=of).cast(pl.String).str.zfill(length - 1)
    return choice(f"{use}, first", list(first), of=of) + rest


def hex_digits(use: str, length: int, *, of: str = "row") -> pl.Expr:
    """A text of so many hex digits, a multiple of four, in small letters."""
    fours = pl.Series([f"{number:04x}" for number in range(1 << 16)])
    return pl.concat_str([choice(f"{use}, {place}", fours, of=of) for place in range(length // 4)])
