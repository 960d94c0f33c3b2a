"""Names of tables, columns and files: finding one, and listing those there are without showing data."""

import difflib
import re
from collections.abc import Iterable, Sequence

from line_ads_pipeline.warehouse.errors import MissingColumn

_LISTED = 10
_LONGEST = 80
# The header of a CSV file without one is its first person, and an unnamed column of a query is named by its
# expression, literals included.
_LOOKS_LIKE_DATA = re.compile(r"[@\uff20\ufe6b]|(?:\d\D*){7}")


def presentable(name: str, *, position: int) -> str:
    """Give a column's name as it may be shown: one that looks like an identifier becomes its 1-based position."""
    if _LOOKS_LIKE_DATA.search(name) or len(name) > _LONGEST or not name.isprintable():
        return f"(column {position})"
    return name


def nearest(name: str, there: Iterable[str]) -> str:
    """List at most ten of the names there are, those like `name` first."""
    by_key = {other.casefold(): other for other in there}
    like = difflib.get_close_matches(name.casefold(), by_key, n=_LISTED, cutoff=0.5)
    ordered = [by_key[key] for key in [*like, *sorted(key for key in by_key if key not in like)]]
    if not ordered:
        return "none"
    more = len(ordered) - _LISTED
    return ", ".join(ordered[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def find_column(wanted: Sequence[str], there: Sequence[str], *, source: str) -> str:
    """Find the first of the wanted columns that is there, by its exact name, else whatever the case.

    Raises:
        MissingColumn: None of them is there.
    """
    by_key = {name.casefold(): name for name in reversed(there)}
    for name in wanted:
        if name in there:
            return name
        if name.casefold() in by_key:
            return by_key[name.casefold()]
    missing = (
        f"There is no column {wanted[0]!r}"
        if len(wanted) == 1
        else f"There is none of the columns {', '.join(wanted)}"
    )
    shown = [presentable(name, position=place) for place, name in enumerate(there, 1)]
    hint = ""
    if shown != list(there):
        hint = " Names that look like data are not shown: a CSV file needs a header line, an expression a name (AS)."
    raise MissingColumn(
        f"{missing} in {source}. The columns there are: {nearest(wanted[0], shown)}. "
        f"Correct the name in the audience file or add the column to the source.{hint}"
    )
