"""Tables and queries of a database that is read through ADBC."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from line_ads_pipeline.warehouse.adbc_database import AdbcDatabase, AdbcLoan
from line_ads_pipeline.warehouse.adbc_faults import DatabaseFault
from line_ads_pipeline.warehouse.columns import check_holds_identifiers
from line_ads_pipeline.warehouse.dialect import RELATION, Column, Form
from line_ads_pipeline.warehouse.errors import QueryFailed, WarehouseError
from line_ads_pipeline.warehouse.run_date import with_run_date
from line_ads_pipeline.warehouse.segment import Marker, Measurement, checksum_version, version_of
from line_ads_pipeline.warehouse.sql_text import one_select
from line_ads_pipeline.warehouse.streams import streamed
from line_ads_pipeline.warehouse.table_name import TableName

_ABSENT = "absent"


def find_table(database: AdbcDatabase, table: str) -> "AdbcSegment":
    """Find a table or view by its name as an audience file has it, whatever the case.

    Raises:
        TableNotFound: There is none of this name, or it is not the name of a table.
    """
    label = f"table {table}"
    name = TableName.of(table)
    with database.lend(label) as loan:
        there, catalog, schemas = database.dialect.tables(loan, name)
    found = name.find(there, catalog=catalog, schemas=schemas)
    relation = ".".join(database.dialect.quoted(part) for part in found if part)
    return AdbcSegment(database, label, f"{relation} AS {RELATION}", is_query=False)


def find_query(database: AdbcDatabase, query: str, run_date: str | None) -> "AdbcSegment":
    """Make a segment of a query that is one SELECT.

    Raises:
        QueryFailed: It is not, or takes a run date that there is not.
    """
    dialect = database.dialect
    body = one_select(query, dialect.lexis)
    dated = with_run_date(body, run_date, lexis=dialect.lexis, literal=dialect.date_literal)
    return AdbcSegment(database, "the query", f"(\n{dated}\n) AS {RELATION}", is_query=True)


@dataclass(frozen=True)
class AdbcSegment:
    """The rows of a relation in a database.

    Attributes:
        database: Where it is read.
        label: How it is called in an error.
        relation: What stands after FROM, under the name `RELATION`.
        is_query: Whether the relation is SQL from an audience file.
    """

    database: AdbcDatabase
    label: str
    relation: str
    is_query: bool

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Give each column's name and type."""
        return tuple((column.name, column.type) for column in self._columns.values())

    def measure(self, column: str, *, marker: Marker | None) -> Measurement:
        """Count rows and NULLs, of lists their elements, and tell the version, in one query unless there are lists."""
        of = self._columns[column]
        check_holds_identifiers(
            of.name, of.type, of.form, source=self.label, json=self.database.dialect.json_remedy
        )
        relation, value = self.relation, self._value(column)
        if of.is_list:
            relation, value = self.database.dialect.elements(relation, value)
        alone = of.is_list or marker is None or self._is_summed_here(marker)
        rows, present, *marks = self._aggregate(
            f"count({value})", marker=None if alone else marker, relation=relation
        )
        version = self.version(marker) if marker is None or alone else self._version(marker, rows, *marks)
        return Measurement(row_count=rows, null_count=rows - present, data_version=version)

    def version(self, marker: Marker | None) -> str | None:
        """Tell the version in one aggregate query."""
        if marker is None:
            return None
        if self._is_summed_here(marker):
            return self._streamed_checksum(marker.column)
        return self._version(marker, *self._aggregate(marker=marker))

    def scan(self, column: str) -> pl.LazyFrame:
        """Stream one column as text; of lists each element, and one NULL of an empty list."""
        schema = pl.Schema({column: pl.String})
        return streamed(self._reading(column), schema=schema, name=self.database.dialect.name)

    def _reading(self, column: str) -> Callable[[], Generator[pl.DataFrame, None, None]]:
        dialect = self.database.dialect
        of = self._columns[column]
        relation, value = self.relation, self._value(column)
        form: Form = check_holds_identifiers(
            of.name, of.type, of.form, source=self.label, json=dialect.json_remedy
        )
        if of.is_list:
            relation, value = dialect.elements(relation, value)
        text = dialect.text(value, form)
        name = dialect.quoted(column)
        select = f"SELECT {text} AS {name} FROM {relation}"  # noqa: S608 - names are quoted
        if dialect.types_from_rows:
            select = f"SELECT coalesce({text}, '') AS {name}, {value} IS NULL AS {_ABSENT} FROM {relation}"  # noqa: S608

        def batches() -> Generator[pl.DataFrame, None, None]:
            with self._lend() as loan:
                for batch in loan.batches(select):
                    read = batch.to_series(0).cast(pl.String)
                    if dialect.types_from_rows:
                        read = read.set(batch.to_series(1).cast(pl.Boolean), None)
                    yield pl.DataFrame({column: read})

        return batches

    @cached_property
    def _columns(self) -> dict[str, Column]:
        with self._lend() as loan:
            return {column.name: column for column in self.database.dialect.columns(loan, self.relation)}

    def _value(self, column: str) -> str:
        return f"{RELATION}.{self.database.dialect.quoted(column)}"

    def _aggregate(self, *counts: str, marker: Marker | None = None, relation: str = "") -> tuple[int, ...]:
        """Give the row count, the counts asked for and, as text, what a marker asks for."""
        marks = [] if marker is None else [self._mark(marker)]
        select = ", ".join(["count(*)", *counts, *marks])
        with self._lend() as loan:
            [row] = loan.rows(f"SELECT {select} FROM {relation or self.relation}")  # noqa: S608 - names are quoted
        return row

    def _is_summed_here(self, marker: Marker) -> bool:
        return marker.kind == "checksum" and not self.database.dialect.has_hashes

    def _streamed_checksum(self, column: str) -> str:
        rows, sums = 0, np.zeros(2, dtype=np.uint64)
        with closing(self._reading(column)()) as batches:
            for batch in batches:
                rows += batch.height
                values = batch.to_series()
                sums += [values.hash(seed).to_numpy().sum(dtype=np.uint64) for seed in (0, 1)]
        return checksum_version("/".join(map(str, sums)), rows=rows)

    def _mark(self, marker: Marker) -> str:
        value = self._value(marker.column)
        if marker.kind == "checksum":
            return self.database.dialect.checksum(value)
        return self.database.dialect.newest(value, type_name=marker.type)

    def _version(self, marker: Marker, rows: int, mark: object = None) -> str:
        if marker.kind == "checksum":
            return checksum_version(str(mark), rows=rows)
        newest = None if mark is None else str(mark)
        return version_of(newest, rows=rows, temporal=self.database.dialect.is_temporal(marker.type))

    def _lend(self) -> AbstractContextManager[AdbcLoan]:
        return self.database.lend(self.label, explain=_query_fault if self.is_query else None)


def _query_fault(fault: DatabaseFault) -> WarehouseError | None:
    if fault.kind not in {"query", "names", "write"}:
        return None
    reason = {
        "query": "its SQL is wrong",
        "names": "it refers to a table, a column or a function that is not there",
        "write": "it would write, and warehouses are only read",
    }[fault.kind]
    return QueryFailed(
        f"The query is not valid: {reason} ({fault.tag}). Correct it in the audience file; run it in the warehouse to "
        "see where it fails."
    )
