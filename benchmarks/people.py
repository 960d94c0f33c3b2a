"""Made-up people with the mess of real tables, as a Parquet file of one column: the same for a count and a version of Polars.

Nobody is behind them: domains are those kept for examples, phone numbers and mobile ad ids are random digits, and
all of it lives in a temporary folder until the benchmark ends.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import polars as pl
import pyarrow.parquet as pq

from benchmarks.chance import Spellings, draw, happens, weighted
from benchmarks.spelled_emails import email_spellings
from benchmarks.spelled_ifas import ifa_spellings
from benchmarks.spelled_phones import phone_spellings

Kind = Literal["email", "phone", "ifa"]

DUPLICATE_PERCENT = 5
"""Of the rows: people who are there already, in some other spelling."""

_BATCH_ROWS = 1 << 20
_SPELLINGS: Final[Mapping[Kind, Callable[[], Spellings]]] = MappingProxyType(
    {"email": email_spellings, "phone": phone_spellings, "ifa": ifa_spellings}
)


def write_people(kind: Kind, folder: Path, *, rows: int) -> Path:
    """Write a file of one column, `email`, `phone` or `ifa`, unless the folder has it already.

    The first rows of a longer file are those of a shorter one. Memory holds a million rows at a time; 10 million
    e-mail addresses take about 0.16 GB on disk.
    """
    path = folder / f"{kind}-{rows}.parquet"
    if path.exists():
        return path
    schema = _batch(kind, 0, 0).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _BATCH_ROWS):
            batch = _batch(kind, start, min(start + _BATCH_ROWS, rows))
            writer.write_table(batch.to_arrow(compat_level=pl.CompatLevel.oldest()))
    return path


def _batch(kind: Kind, start: int, stop: int) -> pl.DataFrame:
    row = pl.col("row")
    spellings = _SPELLINGS[kind]()
    weights = {name: weight for name, (weight, _) in spellings.items()}
    someone_before = draw("who", below=1 << 62) % pl.max_horizontal(row, 1)
    people = pl.DataFrame({"row": pl.int_range(start, stop, dtype=pl.UInt64, eager=True)}).with_columns(
        person=pl.when(happens("again", DUPLICATE_PERCENT)).then(someone_before).otherwise(row),
        spelling=weighted("spelling", weights),
    )
    # each spelling by itself, since in a `when` every one of them would be computed for every row
    spelled = [
        people.filter(spelling=name).select("row", spellings[name][1].alias(kind)) for name in spellings
    ]
    return pl.concat(spelled).sort("row").select(kind)
