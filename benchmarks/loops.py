"""Loops over rows in plain Python, as other tools have them: a set, and a text file of one identifier per line.

Megalista, Tightlock and drt do to an e-mail address what `plain_emails` does: strip, lower-case, hash.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phonenumbers
import pyarrow as pa
import pyarrow.parquet as pq
from phonenumbers import NumberParseException, PhoneNumberFormat

from benchmarks.harness import Stopwatch

_UUID = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_ALL_ZERO = "00000000-0000-0000-0000-000000000000"
_BATCH_ROWS = 65_536


def plain_emails(stopwatch: Stopwatch, people: str, rows: str) -> dict[str, Any]:
    """Contender: strip, lower-case, hash; no rule at all, so NULL is all that is left out."""
    seen = set()
    with tempfile.TemporaryFile("w", dir=Path(people).parent) as file, stopwatch:
        for values in batches_of(people, int(rows)):
            for value in values:
                if value is None:
                    continue
                digest = hashlib.sha256(value.strip().lower().encode()).hexdigest()
                if digest not in seen:
                    seen.add(digest)
                    file.write(f"{digest}\n")
        file.flush()
    return {"members": len(seen)}


def library_phones(stopwatch: Stopwatch, people: str, rows: str) -> dict[str, Any]:
    """Contender: each number by the library `phonenumbers`, to the digits of E.164, hashed."""
    seen = set()
    with tempfile.TemporaryFile("w", dir=Path(people).parent) as file, stopwatch:
        for values in batches_of(people, int(rows)):
            for value in values:
                if value is None:
                    continue
                try:
                    number = phonenumbers.parse(value, "JP")
                except NumberParseException:
                    continue
                if not phonenumbers.is_valid_number(number):
                    continue
                number.extension = None
                digits = phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
                digest = hashlib.sha256(digits.encode()).hexdigest()
                if digest not in seen:
                    seen.add(digest)
                    file.write(f"{digest}\n")
        file.flush()
    return {"members": len(seen)}


def plain_ifas(stopwatch: Stopwatch, people: str, rows: str) -> dict[str, Any]:
    """Contender: strip, check the form, keep one whatever the case."""
    seen = set()
    with tempfile.TemporaryFile("w", dir=Path(people).parent) as file, stopwatch:
        for values in batches_of(people, int(rows)):
            for value in values:
                if value is None:
                    continue
                ifa = value.strip()
                if not _UUID.fullmatch(ifa) or ifa == _ALL_ZERO:
                    continue
                member = ifa.lower()
                if member not in seen:
                    seen.add(member)
                    file.write(f"{ifa}\n")
        file.flush()
    return {"members": len(seen)}


def batches_of(people: str, rows: int) -> Iterator[list[str | None]]:
    """The first so many values of a file's one column."""
    with pq.ParquetFile(people) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            column: pa.Array = batch.column(0)[:rows]
            yield column.to_pylist()
            rows -= len(column)
            if not rows:
                return
