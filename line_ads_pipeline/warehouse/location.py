"""Where a warehouse is, by its URL."""

import re
from pathlib import Path
from urllib.parse import unquote

from line_ads_pipeline.warehouse.dialect import Dialect
from line_ads_pipeline.warehouse.errors import UnsupportedWarehouse, raise_alone
from line_ads_pipeline.warehouse.postgresql import PostgreSQL

_FORMS = {
    "duckdb": "duckdb:///relative.duckdb or duckdb:////absolute.duckdb",
    "postgresql": "postgresql://user:password@host:5432/database",
}
_ALIASES = {"postgres": "postgresql"}

Location = Path | Dialect
"""A DuckDB file, or a database that is read through ADBC."""


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
    match kind:
        case "duckdb":
            path = unquote(url.removeprefix("duckdb:///"))
            return root / path if url.startswith("duckdb:///") and path else None
        case "postgresql":
            return PostgreSQL.at(url)
    return None
