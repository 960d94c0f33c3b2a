"""What differs between the databases that are read through ADBC."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from line_ads_pipeline.warehouse.sql_text import Lexis
from line_ads_pipeline.warehouse.table_name import Place, TableName

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

Form = Literal["text", "number", "digest"]
"""How values are read: as they are written, as a whole number, or as the bytes of a SHA-256."""

NO_WHOLE_NUMBER = "(a number with a fraction)"
"""What a number with a fraction comes as. No rule takes it, while its digits alone would be another phone number."""
NO_DIGEST = "(bytes that are no SHA-256)"
"""What bytes come as that are not 32."""
SHA256_BYTES = 32

RELATION = "segment"
"""What a relation is called in a statement."""


@dataclass(frozen=True)
class Column:
    """A column of a table or query.

    Attributes:
        name: In the database's spelling.
        type: As the database names it.
        form: How its values are read; None where the type cannot hold identifiers.
        is_list: Whether each row holds a list of such values.
    """

    name: str
    type: str
    form: Form | None
    is_list: bool = False


class Rows(Protocol):
    """Runs statements with few rows on one connection."""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement."""

    def result(self, select: str) -> list[tuple[str, str]]:
        """Give the name and Arrow type of each column that a SELECT comes with."""


class Dialect(ABC):
    """A kind of database, and where one of it is; its `repr` shows no credentials.

    Attributes:
        name: As people call it.
        extra: What is installed for it: `pip install "line-ads-pipeline[extra]"`.
        login: Where its credentials are.
        lexis: How its SQL is spelled.
        date_literal: How it writes a date, with `{}` in place of the day.
        statement_options: ADBC options of each read.
        isolation: What sees one state of the data: each statement by itself, all statements of a connection, or all
            connections that join a snapshot.
        types_from_rows: Whether its driver takes the type of a column from its first rows, which may all be NULL.
        has_hashes: Whether it can compute a checksum.
        json_remedy: How the text in a JSON column is selected.
    """

    name: str
    extra: str
    login: str = "the user and the password in WAREHOUSE_URL"
    lexis: Lexis = Lexis()
    date_literal: str = "DATE '{}'"
    statement_options: Mapping[str, str] = MappingProxyType({})
    isolation: Literal["statement", "connection", "snapshot"] = "statement"
    types_from_rows: bool = False
    has_hashes: bool = True
    json_remedy: str = "profile->>'email'"

    @abstractmethod
    def connect(self) -> "Connection":
        """Open a connection; the driver is imported here.

        Raises:
            ImportError: The driver is not installed.
        """

    @abstractmethod
    def tables(self, connection: Rows, wanted: TableName) -> tuple[Sequence[Place], str, Sequence[str]]:
        """Give tables and views, the current catalogue and the current schemas."""

    @abstractmethod
    def columns(self, connection: Rows, relation: str) -> list[Column]:
        """Give the columns of a relation."""

    @abstractmethod
    def text(self, value: str, form: Form) -> str:
        """Give the SQL of a value as text, NULL if it is."""

    @abstractmethod
    def elements(self, relation: str, column: str) -> tuple[str, str]:
        """Give a relation with a row for each element of a list, one for an empty list, and the SQL of the element."""

    @abstractmethod
    def newest(self, value: str, *, type_name: str) -> str:
        """Give the SQL of the greatest value as text, a time in UTC."""

    @abstractmethod
    def checksum(self, value: str) -> str:
        """Give the SQL of a checksum as text, whatever the order of rows."""

    def begin(self, connection: Rows, *, snapshot: str | None) -> None:  # noqa: B027 - most have nothing to do
        """Make ready to read: as of a snapshot that another connection shares, as of now if there is none."""

    def share(self, connection: Rows) -> str:
        """Give the name of the snapshot that a connection reads, for others to join."""
        raise NotImplementedError

    def quoted(self, name: str) -> str:
        """Quote a name."""
        return '"' + name.replace('"', '""') + '"'

    def is_temporal(self, type_name: str) -> bool:
        """Whether a type is a date or a time."""
        return type_name.upper().startswith(("DATE", "TIME"))
