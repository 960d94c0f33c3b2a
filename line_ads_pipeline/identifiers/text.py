"""A column of any kind as trimmed text."""

from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.stages import chosen

SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""The white space of Unicode, tabs and line ends included."""

INVISIBLE: Final = (
    "\xad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
"""Soft hyphen, zero-width, direction and byte-order marks: what copying from a screen brings along unseen."""


class UnsupportedIdentifierColumn(TypeError):
    """The identifier column has a type from which identifiers cannot be read safely.

    Attributes:
        column: Name of the column.
        dtype: Its type.
    """

    def __init__(self, column: str, dtype: pl.DataType) -> None:
        self.column = column
        self.dtype = dtype
        super().__init__(
            f"column {column!r} has the type {dtype}, which cannot hold identifiers safely: {_remedy(dtype)}"
        )


def _remedy(dtype: pl.DataType) -> str:
    if dtype.is_float() or isinstance(dtype, pl.Decimal):
        return "cast it to BIGINT in the query or the table (a decimal number has lost leading zeros, and may lose digits)"
    if isinstance(dtype, pl.Binary):
        return "write it as text, hashes as 64 hex digits"
    if dtype.is_nested():
        return "give one identifier per row, as text"
    return "give a column of text"


def as_text(column: str, dtype: pl.DataType) -> pl.Expr:
    """The column as text, with NULL kept.

    Raises:
        UnsupportedIdentifierColumn: The type is neither text, category, whole number nor NULL.
    """
    whole_decimal = isinstance(dtype, pl.Decimal) and dtype.scale == 0
    textual = isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)
    if not (textual or whole_decimal or dtype.is_integer()):
        raise UnsupportedIdentifierColumn(column, dtype)
    return pl.col(column).cast(pl.String)


def has_wide_characters(text: pl.Expr) -> pl.Expr:
    """Whether a text holds anything beyond ASCII; counting is far cheaper than looking."""
    return text.str.len_bytes() != text.str.len_chars()


def trimmed(batch: pl.DataFrame, *, compose: bool = False) -> pl.DataFrame:
    """A batch whose column `text` is without spaces and invisible marks around it; its rows come in another order.

    With `compose`, compatibility forms become ordinary ones first (Unicode NFKC): full-width and half-width
    letters, ligatures, the Kelvin sign.
    """
    text = pl.col("text")
    bare = text.str.strip_chars(SPACES + INVISIBLE)
    narrow, wide = _by_width(batch)
    parts = [narrow.with_columns(text.str.strip_chars())]
    if len(wide) > 0:
        wide = wide.with_columns(bare)
        if compose:
            # that is dear, and most texts are wide in what is around them alone
            narrow, wide = _by_width(wide)
            parts.append(narrow)
            wide = wide.with_columns(text.str.normalize("NFKC")).with_columns(bare)
        parts.append(wide)
    return pl.concat(parts)


def _by_width(batch: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows whose text is ASCII or NULL, and the others."""
    wide = batch.select(has_wide_characters(pl.col("text")).fill_null(value=False)).to_series()
    return (chosen(batch, ~wide), chosen(batch, wide)) if wide.any() else (batch, batch.clear())
