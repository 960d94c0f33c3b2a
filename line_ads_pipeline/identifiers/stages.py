"""Reading in stages: what is cheap to see is decided for all rows of a batch, what is dear only for those left open.

A mask of NULLs spares nothing in Polars, whose string expressions also compute what the mask hides. So each stage
takes the rows that it decides out of the batch and hands on the others, each with its number.
"""

from collections.abc import Callable
from typing import Final

import polars as pl

from line_ads_pipeline.identifiers.outcomes import OUTCOME_DTYPE, outcome

READING_DTYPE: Final = pl.Struct({"normalised": pl.String, "outcome": OUTCOME_DTYPE})
"""What a text was found to be: the text to hash or to send, or NULL and why."""

Reader = Callable[[pl.DataFrame], pl.DataFrame]
"""Reads a batch: from the columns `row` (UInt32) and `text` to `row` and the fields of `READING_DTYPE`, in any order."""


def decide(batch: pl.DataFrame, normalised: pl.Expr, *, decided_as: str, others: Reader) -> pl.DataFrame:
    """Decide the rows for which an expression is not NULL, and let `others` read the rest.

    Args:
        batch: The columns `row`, those of the expression, and those that `others` reads.
        normalised: The text to hash or to send.
        decided_as: The outcome of the rows that have one.
        others: Reads what is left, if anything is.
    """
    # lazily, so that what the expression says twice is computed once
    found = batch.lazy().select("row", normalised=normalised).collect(engine="in-memory")
    left = found["normalised"].is_null()
    decided = chosen(found, ~left).with_columns(outcome=outcome(decided_as))
    if len(decided) == len(batch):
        return decided
    return pl.concat([decided, others(chosen(batch, left))])


def chosen(batch: pl.DataFrame, mask: pl.Series) -> pl.DataFrame:
    """The rows for which a mask is true; `DataFrame.filter` would plan a query first, at the cost of ten columns."""
    return pl.DataFrame([column.filter(mask) for column in batch])
