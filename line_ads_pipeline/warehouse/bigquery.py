"""BigQuery, with credentials by Google's own convention."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from line_ads_pipeline.warehouse.dialect import (
    NO_DIGEST,
    NO_WHOLE_NUMBER,
    SHA256_BYTES,
    Column,
    Dialect,
    Form,
    Rows,
)
from line_ads_pipeline.warehouse.sql_text import Lexis
from line_ads_pipeline.warehouse.table_name import Place, TableName

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_SQL = "adbc.bigquery.sql."
_PROJECT = re.compile(r"[a-z][a-z0-9:.-]*[a-z0-9]")
_DATASET = re.compile(r"\w+", re.ASCII)
_LIST = re.compile(r"ARRAY<(.*)>|(?:large_)?list<\w+: (.*?)(?: not null)?>")
_FORMS: Sequence[tuple[str, Form]] = (
    (r"string|large_string|int64", "text"),
    (r"(?:big)?numeric|decimal\d+\(.*\)", "number"),
    (r"bytes|(?:large_)?binary", "digest"),
)


@dataclass(frozen=True)
class BigQuery(Dialect):
    """A dataset of a Google Cloud project.

    Attributes:
        project: Who pays, and where tables are sought that name no other.
        dataset: Where tables are sought that name no other.
    """

    project: str
    dataset: str

    name = "BigQuery"
    extra = "bigquery"
    login = "GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud"
    lexis = Lexis(
        name_quotes="`", text_quotes="'\"", backslash="always", triple_quotes=True, line_comments=("--", "#")
    )
    json_remedy = "JSON_VALUE(profile, '$.email')"

    @property
    def statement_options(self) -> Mapping[str, str]:  # type: ignore[override] # a constant of the other kinds
        """Where names without a dataset are sought."""
        return {
            f"{_SQL}query.default_project_id": self.project,
            f"{_SQL}query.default_dataset_id": self.dataset,
        }

    @classmethod
    def at(cls, url: str) -> "BigQuery":
        """The dataset of a `bigquery://project/dataset` URL.

        Raises:
            ValueError: The URL is malformed.
        """
        parts = urlsplit(url)
        dataset = parts.path.strip("/")
        if parts.query or not (_PROJECT.fullmatch(parts.netloc) and _DATASET.fullmatch(dataset)):
            raise ValueError
        return cls(parts.netloc, dataset)

    def connect(self) -> "Connection":
        """Find credentials: GOOGLE_APPLICATION_CREDENTIALS, or those that gcloud or the machine has."""
        from adbc_driver_bigquery import dbapi  # noqa: PLC0415 - an extra

        options = {f"{_SQL}project_id": self.project, f"{_SQL}dataset_id": self.dataset}
        return dbapi.connect(db_kwargs=options, autocommit=True)

    def tables(self, connection: Rows, wanted: TableName) -> tuple[Sequence[Place], str, Sequence[str]]:
        """Look in the dataset that is meant."""
        project, dataset = [self.project, self.dataset, *wanted.parts[:-1]][-2:]
        if len(wanted.parts) == 2:  # noqa: PLR2004 - dataset and name
            project = self.project
        of = f"{self.quoted(project)}.{self.quoted(dataset)}"
        rows = connection.rows(
            f"SELECT table_catalog, table_schema, table_name FROM {of}.INFORMATION_SCHEMA.TABLES"  # noqa: S608
        )
        return [(place[0], place[1], place[2]) for place in rows], self.project, [self.dataset]

    def columns(self, connection: Rows, relation: str) -> list[Column]:
        """Give the types in which a query without rows comes."""
        select = f"SELECT * FROM {relation} WHERE FALSE"  # noqa: S608 - quoted
        return [column_of(name, kind) for name, kind in connection.result(select)]

    def quoted(self, name: str) -> str:
        """Quote a name."""
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

    def text(self, value: str, form: Form) -> str:
        """Cast to text."""
        match form:
            case "text":
                return f"CAST({value} AS STRING)"
            case "number":
                return (
                    f"CASE WHEN {value} = TRUNC({value}) THEN CAST(TRUNC({value}) AS STRING) "
                    f"WHEN {value} IS NOT NULL THEN '{NO_WHOLE_NUMBER}' END"
                )
            case "digest":
                return (
                    f"CASE WHEN BYTE_LENGTH({value}) = {SHA256_BYTES} THEN TO_HEX({value}) "
                    f"WHEN {value} IS NOT NULL THEN '{NO_DIGEST}' END"
                )

    def elements(self, relation: str, column: str) -> tuple[str, str]:
        """Join each row with the elements of its array."""
        return f"{relation} LEFT JOIN UNNEST({column}) AS element", "element"

    def newest(self, value: str, *, type_name: str) -> str:  # noqa: ARG002 - times with a zone are shown in UTC
        """The maximum."""
        return f"CAST(MAX({value}) AS STRING)"

    def checksum(self, value: str) -> str:
        """An exclusive or and a sum of fingerprints, which BigQuery never changes."""
        mark = f"FARM_FINGERPRINT(TO_JSON_STRING({value}))"
        return (
            f"CONCAT(CAST(BIT_XOR({mark}) AS STRING), '/', CAST(SUM(CAST({mark} AS BIGNUMERIC)) AS STRING))"
        )


def column_of(name: str, kind: str) -> Column:
    """The column of a type as BigQuery or Arrow names it."""
    inner = _LIST.fullmatch(kind)
    of = (inner[1] or inner[2]) if inner else kind
    form = next((form for pattern, form in _FORMS if re.fullmatch(pattern, of, re.IGNORECASE)), None)
    return Column(name, kind, form, inner is not None)
