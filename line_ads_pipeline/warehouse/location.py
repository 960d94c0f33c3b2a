"""Where a warehouse is, by its URL."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from line_ads_pipeline.warehouse.bigquery import BigQuery
from line_ads_pipeline.warehouse.dialect import Dialect
from line_ads_pipeline.warehouse.errors import UnsupportedWarehouse, raise_alone
from line_ads_pipeline.warehouse.postgresql import PostgreSQL
from line_ads_pipeline.warehouse.snowflake import Snowflake
from line_ads_pipeline.warehouse.sqlite import SQLite

_FORMS = {
    "duckdb": "duckdb:///relative.duckdb or duckdb:////absolute.duckdb",
    "md": "md:database",
    "postgresql": "postgresql://user:password@host:5432/database",
    "sqlite": "sqlite:///relative.db or sqlite:////absolute.db",
    "snowflake": "snowflake://user:password@account/database/schema?warehouse=…&role=…",
    "bigquery": "bigquery://project/dataset",
}
_NAME = re.compile(r"md:\w+")
_ALIASES = {"postgres": "postgresql"}


@dataclass(frozen=True)
class MotherDuck:
    """A database of MotherDuck.

    Attributes:
        name: DuckDB's own name for it, `md:database`.
    """

    name: str


Location = Path | MotherDuck | Dialect
"""A DuckDB file, a DuckDB database elsewhere, or a database that is read through ADBC."""


def locate(url: str, *, root: Path) -> Location:
    """Tell where the warehouse of a URL is, without looking.

    Args:
        url: One of the forms that an error lists; special characters are percent-encoded.
        root: What a relative path starts from.

    Raises:
        UnsupportedWarehouse: The URL is of another kind or form; the message holds its scheme alone, since a URL may
            hold a password.
    """
    scheme = re.match(r"([a-z][a-z0-9+]*):", url)
    kind = _ALIASES.get(scheme[1], scheme[1]) if scheme else ""
    if kind not in _FORMS:
        named = f" of the kind {kind}:" if scheme and url.startswith(f"{scheme[1]}://") else ""
        raise UnsupportedWarehouse(
            f"WAREHOUSE_URL names no warehouse{named} that can be read. Write {', '.join(_FORMS.values())}."
        )
    try:
        found = _locate(kind, url, root)
    except ValueError:
        found = None
    if found is None:
        raise_alone(
            UnsupportedWarehouse(
                f"WAREHOUSE_URL is malformed for the kind {kind}:. Write {_FORMS[kind]}, with special characters "
                "percent-encoded."
            )
        )
    return found


def _locate(kind: str, url: str, root: Path) -> Location | None:
    """Give the location, None or ValueError where the URL is malformed."""
    path = unquote(url.removeprefix(f"{kind}:///")) if url.startswith(f"{kind}:///") else ""
    found: Location | None = None
    match kind:
        case "duckdb" if path:
            found = root / path
        case "sqlite" if path:
            found = SQLite(root / path)
        case "md" if _NAME.fullmatch(url):
            found = MotherDuck(url)
        case "postgresql":
            found = PostgreSQL.at(url)
        case "snowflake":
            found = Snowflake.at(url)
        case "bigquery":
            found = BigQuery.at(url)
    return found
