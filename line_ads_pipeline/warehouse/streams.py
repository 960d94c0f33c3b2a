"""Batches of a source as a lazy frame."""

from collections.abc import Callable, Generator
from contextlib import closing

import polars as pl
from polars.io.plugins import register_io_source


def streamed(
    batches: Callable[[], Generator[pl.DataFrame, None, None]], *, schema: pl.Schema, name: str
) -> pl.LazyFrame:
    """Give a lazy frame that holds no more than one batch at a time.

    Args:
        batches: Begins to read anew; it is closed as soon as no more is wanted.
        schema: Of each batch.
        name: Shown in the plan.
    """

    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Generator[pl.DataFrame, None, None]:
        with closing(batches()) as frames:
            for batch in frames:
                frame = batch if n_rows is None else batch.head(n_rows)
                if n_rows is not None:
                    n_rows -= frame.height
                frame = frame if predicate is None else frame.filter(predicate)
                yield frame if with_columns is None else frame.select(with_columns)
                if n_rows == 0:
                    return

    return register_io_source(read, schema=schema, validate_schema=True, explain_name=name)
