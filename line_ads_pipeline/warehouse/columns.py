"""Which types of columns can hold identifiers."""

import re
from typing import TypeVar

from line_ads_pipeline.warehouse.errors import UnsupportedColumn

_FormT = TypeVar("_FormT")

_REMEDIES = (
    (r"\].*\[|\]\[", "give one list per row, or one identifier"),
    (r"json|variant|object|hstore|struct|map|record|row|union|composite", "select the text in it"),
    (r"float|double|real|decimal|money", "cast it to BIGINT: a number of this type may have lost digits"),
    (r"date|time|interval|bool", "give a column of text"),
    (r"byte|binary|blob", "write it as text, hashes as 64 hex digits"),
)


def check_holds_identifiers(column: str, kind: str, form: _FormT | None, *, source: str, json: str) -> _FormT:
    """Give back how a column is read.

    Args:
        column: Its name.
        kind: Its type, as the source names it.
        form: How it is read; None if it cannot be.
        source: How the source is called in an error.
        json: How the text in a JSON column is selected.

    Raises:
        UnsupportedColumn: It cannot be read.
    """
    if form is not None:
        return form
    remedy = next(
        (words for pattern, words in _REMEDIES if re.search(pattern, kind, re.IGNORECASE)), "cast it to text"
    )
    if remedy == _REMEDIES[1][1]:
        remedy = f"{remedy}, such as {json} AS email in a query"
    raise UnsupportedColumn(
        f"Column {column!r} of {source} has the type {kind}, which cannot hold identifiers safely: {remedy}."
    )
