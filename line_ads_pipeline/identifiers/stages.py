"""Reading in stages: what is cheap to see is decided for all rows, what is dear only for those that are left.

A mask of NULLs spares nothing in Polars, whose string expressions also run over what the mask hides. So the rows that
are left are taken out of each batch, read by themselves, and put back in their places.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from line_ads_pipeline.identifiers.outcomes import OUTCOME_DTYPE, outcome

READING_DTYPE: Final = pl.Struct({"normalised": pl.String, "outcome": OUTCOME_DTYPE})
"""What a text was found to be: the text to hash or to send, or NULL and why."""

Reader = Callable[[pl.LazyFrame], pl.LazyFrame]
"""From a frame of one column `text` to the fields of `READING_DTYPE`, row by row."""


def read_in_stages(
    texts: pl.LazyFrame, *, accepted: pl.Expr, accepted_as: str, others: Reader
) -> pl.LazyFrame:
    """Take the texts that an expression accepts as they stand, and read only the others further.

    Args:
        texts: A frame of one column `text`.
        accepted: Of `text`, a Boolean; NULL is not accepted.
        accepted_as: The outcome of the accepted ones.
        others: Reads the rest.
    """
    read = partial(_read_batch, accepted_as=accepted_as, others=others)
    columns = [pl.col("text"), accepted.fill_null(value=False)]
    reading = pl.map_batches(columns, read, return_dtype=READING_DTYPE, is_elementwise=True)
    fields = (pl.col("reading").struct.field(name) for name in ("normalised", "outcome"))
    return texts.select(reading=reading).select(fields)


def placed(*parts: tuple[pl.Series, pl.DataFrame]) -> pl.DataFrame:
    """Put rows back in their places.

    Args:
        parts: A mask over all rows without NULLs, and the rows for which it is true, in their order; masks exclude
            each other. A row of no mask gets NULLs.
    """
    rows = pl.concat([part for _, part in parts])
    length = len(parts[0][0])
    if len(rows) < length:
        rows = pl.concat([rows, rows.clear(1)])
    places = np.full(length, max(len(rows), 1) - 1, dtype=np.uint32)
    before = 0
    for mask, part in parts:
        places[mask.to_numpy()] = np.arange(before, before + len(part), dtype=np.uint32)
        before += len(part)
    return rows.rechunk()[places]  # gathering from several pieces takes four times as long


def _read_batch(columns: Sequence[pl.Series], *, accepted_as: str, others: Reader) -> pl.Series:
    text, accepted = columns
    taken = pl.DataFrame({"normalised": text.filter(accepted)}).with_columns(outcome=outcome(accepted_as))
    if len(taken) < len(text):
        left = ~accepted
        read = others(text.filter(left).to_frame("text").lazy()).collect()
        taken = placed((accepted, taken), (left, read))
    return taken.to_struct("reading")
