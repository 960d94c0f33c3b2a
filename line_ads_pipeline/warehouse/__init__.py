"""A segment as a lazy frame, streamed: DuckDB tables and queries, Parquet and CSV files."""

from line_ads_pipeline.warehouse.errors import (
    FileNotFound,
    MissingColumn,
    QueryFailed,
    SegmentReadFailed,
    TableNotFound,
    UnsupportedWarehouse,
    WarehouseBusy,
    WarehouseClosed,
    WarehouseError,
    WarehouseNotFound,
    WarehouseOutOfMemory,
    WarehouseUnreadable,
)
from line_ads_pipeline.warehouse.source import (
    FileSource,
    QuerySource,
    SegmentDescription,
    Source,
    TableSource,
)
from line_ads_pipeline.warehouse.warehouse import Warehouse

__all__ = [
    "FileNotFound",
    "FileSource",
    "MissingColumn",
    "QueryFailed",
    "QuerySource",
    "SegmentDescription",
    "SegmentReadFailed",
    "Source",
    "TableNotFound",
    "TableSource",
    "UnsupportedWarehouse",
    "Warehouse",
    "WarehouseBusy",
    "WarehouseClosed",
    "WarehouseError",
    "WarehouseNotFound",
    "WarehouseOutOfMemory",
    "WarehouseUnreadable",
]
