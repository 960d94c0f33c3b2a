"""What becomes of the types that Parquet has, in a file of this machine and in an object store alike."""

import datetime as dt
import uuid
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from line_ads_pipeline.warehouse import FileSource, UnsupportedColumn

ID = uuid.UUID("0B3C3F6E-3A3F-4C55-9D0E-0C4B1F0A6D11")


def extension(kind, values):
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


@pytest.fixture(params=["local", "s3"])
def write(request, root):
    def write(column, *, keep_arrow_schema=True):
        pq.write_table(pa.table({"ifa": column}), root / "people.parquet", store_schema=keep_arrow_schema)
        if request.param == "local":
            return FileSource("people.parquet")
        put = request.getfixturevalue("put")
        return FileSource(put((root / "people.parquet").read_bytes(), "people.parquet"))

    return write


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", "", None]), ["a", "", None]),
        (pa.array(["a", "", None], pa.large_string()), ["a", "", None]),
        (pa.array(["a", "", None], pa.string_view()), ["a", "", None]),
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", None]),
        (pa.array([819012345678, None], pa.int64()), [819012345678, None]),
        (pa.array([1, None], pa.uint64()), [1, None]),
        (extension(pa.uuid(), [ID.bytes, None]), [str(ID), None]),
        (pa.array([b"\xab" * 32, None], pa.binary(32)), ["ab" * 32, None]),
        (pa.array([b"\xab" * 32, None], pa.binary()), ["ab" * 32, None]),
        (pa.array([["a", "b"], ["c"]]), ["a", "b", "c"]),
        (pa.array([["a", None, ""], [], None, [None]]), ["a", None, "", None, None, None]),
        (pa.array([[1, 2], None], pa.list_(pa.int64())), [1, 2, None]),
        (pa.array([[Decimal(1), None]], pa.list_(pa.decimal128(20, 0))), [1, None]),
        (pa.array([["a", "b"], None], pa.list_(pa.string(), 2)), ["a", "b", None]),
        (pa.array([["a", "b"], None], pa.large_list(pa.string())), ["a", "b", None]),
        (pa.array([], pa.list_(pa.string())), []),
        (pa.array([None, []], pa.list_(pa.null())), [None, None]),
        (pa.nulls(2), [None, None]),
    ],
    ids=[
        "text",
        "large text",
        "text view",
        "dictionary",
        "integers",
        "unsigned integers",
        "UUID",
        "digests of fixed width",
        "digests",
        "lists",
        "lists with and without elements",
        "lists of integers",
        "lists of whole decimals",
        "lists of fixed size",
        "large lists",
        "no lists at all",
        "lists of nothing",
        "nothing but NULL",
    ],
)
@pytest.mark.parametrize("keep", [True, False], ids=["with Arrow's schema", "without"])
def test_reads(files, write, column, expected, keep):
    source = write(column, keep_arrow_schema=keep)
    with files.reading():
        assert files.scan(source, "ifa").collect().to_series().to_list() == expected
    found = files.describe(source, identifier_columns=["ifa"])
    assert (found.row_count, found.null_count) == (len(expected), expected.count(None))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([{"email": "ann@x"}]), "Struct"),
        (pa.array([[("email", "ann@x")]], pa.map_(pa.string(), pa.string())), "Map"),
        (pa.array([[["ann@x"]]]), "List of List"),
        (pa.array([[{"email": "ann@x"}]]), "List of Struct"),
        (pa.array([[b"\xab" * 32]]), "List of Binary"),
        (pa.array([[0.5]]), "List of Float64"),
        (pa.array([[0.5]], pa.list_(pa.float32(), 1)), "(List|Array) of Float32"),
        (pa.array([[True]]), "List of Boolean"),
        (pa.array([[dt.date(2026, 11, 22)]]), "List of Date"),
        (pa.array([[Decimal("1.5")]]), "List of Decimal"),
        (extension(pa.json_(), ['{"email": "ann@x"}']), "JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_type_that_holds_no_identifiers_is_refused_with_the_remedy(files, write, column, kind):
    source = write(column)
    for ask in (
        lambda: files.describe(source, identifier_columns=["ifa"]),
        lambda: files.scan(source, "ifa"),
    ):
        with pytest.raises(
            UnsupportedColumn, match=rf"column ifa of .* holds {kind}, .*profile\.email AS email"
        ) as raised:
            ask()
        assert "ann@" not in str(raised.value)


@pytest.mark.parametrize("value", [b"ann@example.jp", b"\xab" * 16])
def test_bytes_that_are_no_digests_are_refused_when_they_are_described(files, write, value):
    source = write(pa.array([b"\xab" * 32, value]))
    with pytest.raises(UnsupportedColumn, match="bytes that are not the 32 of a SHA-256 digest"):
        files.describe(source, identifier_columns=["ifa"])


ENUM = pl.Enum(["planted", "rose"])


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (ENUM, "planted", "Enum"),
        (pl.Categorical(), "planted", "Categorical"),
        (pl.List(ENUM), ["planted"], "List(Enum)"),
        (pl.Array(pl.Array(ENUM, 1), 2), [["planted"], ["rose"]], "Array(Array(Enum, 1), 2)"),
        (pl.Struct({"e": ENUM, "n": pl.Int8}), {"e": "planted"}, "Struct(e: Enum, n: Int8)"),
        (
            pl.List(pl.Struct({"a": pl.Struct({"e": pl.List(ENUM)})})),
            [{"a": {"e": ["planted"]}}],
            "List(Struct(a: Struct(e: List(Enum))))",
        ),
        (pl.Struct({"ann@example.jp": pl.String}), {}, "Struct((column 1): String)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_types_name_holds_no_values(files, root, kind, value, shown):
    pl.DataFrame({"email": ["a"], "more": [value]}, schema={"email": pl.String, "more": kind}).write_parquet(
        root / "people.parquet"
    )
    found = files.describe(FileSource("people.parquet"), identifier_columns=["email"])
    assert dict(found.columns)["more"] == shown


def test_an_enum_is_read_whatever_its_members_are_called(files, root):
    kind = pl.Enum(["json"])
    pl.DataFrame({"email": ["json"]}, schema={"email": kind}).write_parquet(root / "people.parquet")
    source = FileSource("people.parquet")
    assert files.describe(source, identifier_columns=["email"]).row_count == 1
    assert files.scan(source, "email").collect().to_series().to_list() == ["json"]


def test_a_column_named_like_a_path_into_another(files, root):
    table = pa.table(
        {"a": pa.array([{"b": "wrong"}]), "a.b": pa.array(["right"]), "a.bc": pa.array(["wrong"])}
    )
    pq.write_table(table, root / "people.parquet")
    assert files.scan(FileSource("people.parquet"), "a.b").collect().to_series().to_list() == ["right"]
