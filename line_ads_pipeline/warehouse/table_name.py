"""The name of a table as an audience file has it, and the table that it means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from line_ads_pipeline.warehouse.errors import TableNotFound
from line_ads_pipeline.warehouse.names import nearest

_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^".]*[^".\s]))\s*(\.|$)')
_MOST_PARTS = 3

Place = tuple[str, str, str]
"""Catalogue, schema and name, in the database's spelling."""


@dataclass(frozen=True)
class TableName:
    """One to three parts, the last of which is the table's own name.

    Attributes:
        text: As it was written.
        parts: Without quotes.
    """

    text: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """Take a name apart.

        Raises:
            TableNotFound: It is not the name of a table.
        """
        parts = []
        at = 0
        while match := _PART.match(text, at):
            parts.append(match[2] if match[1] is None else match[1].replace('""', '"'))
            at = match.end()
            if not match[3]:
                break
        if at != len(text) or not parts or len(parts) > _MOST_PARTS or text.rstrip().endswith("."):
            raise TableNotFound(
                f"{text!r} is not the name of a table. Write table, schema.table or catalog.schema.table, and a part that "
                'holds a dot or a quote in double quotes: marts."vip.2026".'
            )
        return cls(text, tuple(parts))

    def find(self, there: Sequence[Place], *, catalog: str, schemas: Sequence[str]) -> Place:
        """Find the table among those there, by its exact name, else whatever the case.

        Args:
            there: All tables and views.
            catalog: The one that is meant where none is named.
            schemas: Those that are meant where none is named, first match first.

        Raises:
            TableNotFound: There is none of this name.
        """
        meant = [
            candidate
            for schema in schemas
            for candidate in (
                (catalog, schema, *self.parts),
                (catalog, *self.parts),
                (self.parts[0], schema, *self.parts[1:]),
                self.parts,
            )
        ]
        for spelling in (tuple, _folded):
            by_key = {spelling(place): place for place in reversed(there)}
            for candidate in meant:
                if spelling(candidate) in by_key:
                    return by_key[spelling(candidate)]
        names = [_shown(place[1:] if place[0] == catalog else place, schemas=schemas) for place in there]
        raise TableNotFound(
            f"There is no table or view {self.text} in the warehouse. Those there are: {nearest(self.text, names)}. "
            "Correct `table` in the audience file, with its schema, or WAREHOUSE_URL."
        )


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts)


def _shown(parts: tuple[str, ...], *, schemas: Sequence[str]) -> str:
    parts = parts[1:] if parts[0] in schemas and len(parts) > 1 else parts
    return ".".join(
        part if part == part.strip() and not set(part) & set('."') else '"' + part.replace('"', '""') + '"'
        for part in parts
    )
