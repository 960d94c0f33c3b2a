"""The demo's warehouse: a DuckDB file with one table."""

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from line_ads_pipeline.demo.customers import Customer

_SCHEMA = pa.schema(
    {
        "customer_id": pa.int64(),
        "name": pa.string(),
        "country": pa.string(),
        "email": pa.string(),
        "phone": pa.string(),
        "orders": pa.int32(),
        "updated_at": pa.timestamp("us"),
    }
)


def write_warehouse(path: Path, customers: Sequence[Customer]) -> None:
    """Write the table `marts.vip_customers` into a new file, which then takes the place of one that is there.

    What the customers have to become is not written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    table = pa.table(
        {column: [getattr(customer, column) for customer in customers] for column in _SCHEMA.names},
        schema=_SCHEMA,
    )
    try:
        with duckdb.connect(str(unfinished)) as connection:
            connection.register("customers", table)
            connection.execute("CREATE SCHEMA marts")
            connection.execute("CREATE TABLE marts.vip_customers AS SELECT * FROM customers")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
