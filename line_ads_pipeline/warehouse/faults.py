"""A driver's exception, taken apart into what may be shown."""

import json
import re
from dataclasses import dataclass

_TEXT = re.compile(
    r"(?P<category>Binder|Catalog|Connection|Constraint|Conversion|Dependency|FATAL|HTTP|INTERNAL|INTERRUPT|IO"
    r"|Invalid Input|Invalid type|Mismatch Type|Not implemented|Out of Memory|Out of Range|Parser|Permission|Sequence"
    r"|Serialization|Syntax|TransactionContext) Error: (?P<rest>.*)",
    re.DOTALL,
)
_WORDS = {
    "Conversion": "a value cannot be converted to the type that the source asks for; TRY_CAST gives NULL instead",
    "Out of Range": "a number is out of the range of its type; a wider type or TRY_CAST helps",
    "Mismatch Type": "two types do not fit; cast one of them",
    "IO": "a file could not be read",
    "INTERRUPT": "the read was cancelled",
    "Invalid Input": "a value is not what a function of the source takes; run the source's SQL in the warehouse to see it",
    "UnicodeError": "a value is not UTF-8: store it as UTF-8",
    "Binder": "it refers to something that is not there; a view may be older than its tables",
    "Catalog": "it refers to something that is not there; a view may be older than its tables",
}


@dataclass(frozen=True)
class Fault:
    """A DuckDB error.

    Attributes:
        category: DuckDB's name for the kind of error, such as `Conversion`; without data.
        message: DuckDB's own words, which may quote data: to be matched against, never to be shown.
        place: Byte offset and length of the offending SQL in the statement that was run, where DuckDB tells.
    """

    category: str
    message: str
    place: tuple[int, int] | None = None

    @classmethod
    def of(cls, error: Exception) -> "Fault":
        """Take apart an exception of DuckDB or of its Arrow reader, raised under `errors_as_json`."""
        found = _TEXT.match(str(error))
        if found is None:
            return cls(type(error).__name__, str(error))
        category, rest = found["category"], found["rest"]
        try:
            detail = json.loads(rest)
        except ValueError:
            return cls(category, rest)
        place = re.fullmatch(r"\[(\d+),(\d+)\]", str(detail.get("location", "")))
        return cls(
            category,
            str(detail.get("exception_message", "")),
            (int(place[1]), int(place[2])) if place else None,
        )

    @property
    def explanation(self) -> str:
        """The category, with what it means where that is known."""
        words = _WORDS.get(self.category)
        return f"{words} ({self.category} error)" if words else f"{self.category} error"
