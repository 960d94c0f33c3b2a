"""Whatever fails, the value that made it fail is nowhere to be found."""

import hashlib
import traceback
from contextlib import nullcontext

import duckdb
import polars as pl
import pytest

from line_ads_pipeline.warehouse import (
    FileSource,
    QueryFailed,
    QuerySource,
    SegmentReadFailed,
    TableSource,
    Warehouse,
    WarehouseError,
)

PLANTED = "planted.person@example.jp"
ROWS = 400_000

FAILING = [
    QuerySource("SELECT CAST(email AS INTEGER) AS email FROM people"),
    TableSource("late"),
    TableSource("dates"),
    TableSource("raised"),
    FileSource("long.csv"),
    FileSource("open.csv"),
    FileSource("bytes.csv"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A root with sources that fail at their end, several batches in."""
    root = tmp_path_factory.mktemp("home")
    with duckdb.connect(str(root / "shop.duckdb")) as connection:
        connection.execute(f"""
            CREATE TABLE people AS
            SELECT i AS id, CASE WHEN i = {ROWS - 5} THEN '{PLANTED}' ELSE i::VARCHAR END AS email
            FROM range({ROWS}) t(i);
            CREATE VIEW late AS SELECT id, email::INTEGER AS email FROM people;
            CREATE VIEW dates AS SELECT id, email::DATE AS email FROM people WHERE id = {ROWS - 5};
            CREATE VIEW raised AS SELECT id, error(email) AS email FROM people WHERE id = {ROWS - 5};
        """)
    lines = [f"{n},user{n}@example.jp" for n in range(ROWS)]
    lines[-5] = f"5,{PLANTED},extra"
    (root / "long.csv").write_text("id,email\n" + "\n".join(lines) + "\n")
    lines[-5] = f'5,"{PLANTED}'
    (root / "open.csv").write_text("id,email\n" + "\n".join(lines) + "\n")
    lines[-5] = f"5,{PLANTED}"
    (root / "bytes.csv").write_bytes(
        ("id,email\n" + "\n".join(lines)).encode() + b"\n7,\xff" + PLANTED.encode()
    )
    return root


@pytest.fixture
def warehouse(home):
    with Warehouse("duckdb:///shop.duckdb", root=home) as warehouse:
        yield warehouse


@pytest.fixture
def clean(capfd):
    """Assert that an exception, all that hangs on it and both output streams are free of a value."""

    def assert_clean(error, *secrets):
        assert error.__cause__ is None
        assert error.__context__ is None
        captured = capfd.readouterr()
        shown = "".join(traceback.format_exception(error))
        texts = [str(error), repr(error), repr(error.__dict__), shown, captured.out, captured.err]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "line_ads_pipeline/warehouse" in frame.f_code.co_filename:
                texts.extend(
                    repr(value) for value in frame.f_locals.values() if isinstance(value, BaseException)
                )
        for secret in secrets or (PLANTED, "planted.person"):
            assert secret not in "\n".join(texts)

    return assert_clean


@pytest.mark.parametrize("source", FAILING, ids=str)
@pytest.mark.parametrize(
    "read",
    [
        lambda frame, _: frame.collect(),
        lambda frame, _: frame.collect(engine="streaming"),
        lambda frame, home: frame.sink_parquet(home / "sunk.parquet"),
        lambda frame, _: list(frame.collect_batches()),
    ],
    ids=["collect", "streaming", "sink", "batches"],
)
@pytest.mark.parametrize("guarded", [True, False], ids=["in reading()", "alone"])
def test_a_failing_read_is_typed_and_quotes_nothing(*, warehouse, clean, home, source, read, guarded):
    frame = warehouse.scan(source, "email").select(pl.col("email").hash())
    with pytest.raises(SegmentReadFailed) as raised, warehouse.reading() if guarded else nullcontext():
        read(frame, home)
    clean(raised.value)


@pytest.mark.parametrize("source", FAILING, ids=str)
def test_a_failing_description_is_typed_and_quotes_nothing(warehouse, clean, source):
    with pytest.raises(SegmentReadFailed) as raised:
        warehouse.describe(source, identifier_columns=["email"])
    clean(raised.value)


@pytest.mark.parametrize(
    "source", [source for source in FAILING if not isinstance(source, FileSource)], ids=str
)
@pytest.mark.parametrize("options", [{"checksum": True}, {"updated_at": "email"}], ids=str)
def test_a_failing_question_for_the_version_is_typed_and_quotes_nothing(warehouse, clean, source, options):
    with pytest.raises(SegmentReadFailed) as raised:
        warehouse.version(source, identifier_columns=["email"], **options)
    clean(raised.value)


@pytest.mark.parametrize("options", [{"checksum": True}, {"updated_at": "email"}], ids=str)
def test_the_version_does_not_show_the_value_it_is_made_of(warehouse, options):
    source = QuerySource(f"SELECT '{PLANTED}' AS email")
    version = warehouse.version(source, identifier_columns=["email"], **options)
    known = {hashlib.new(name, PLANTED.encode()).hexdigest() for name in ("md5", "sha1", "sha256")}
    assert "planted" not in version
    assert not any(digest.startswith(version.partition("/")[0]) for digest in known)


def test_a_failing_read_tells_the_kind_of_failure_and_the_remedy(warehouse):
    with pytest.raises(SegmentReadFailed, match=r"table late failed: .*TRY_CAST.*\(Conversion error\)"):
        warehouse.describe(TableSource("late"), identifier_columns=["email"])


@pytest.mark.parametrize(
    "query",
    [
        f'SELECT email FROM people WHERE email = "{PLANTED}"',
        f"SELECT email FROM people WHERE email = '{PLANTED}",
        f"SELECT '{PLANTED}' AS email FROM nowhere",
        f"SELECT emial FROM people WHERE email = '{PLANTED}'",
        f"SELECT email FROM people WHERE email = '{PLANTED}' LIMIT 'x' FRM y",
        f"SELECT upper('{PLANTED}', 1) AS email",
        f"SELECT email FROM '{PLANTED}.csv'",
        f'SELECT email FROM "{PLANTED}"',
        f"SELECT email FROM read_csv('{PLANTED}.csv')",
        f"SELECT '{PLANTED}'::INTEGER AS email",
        f"SELECT email FROM people WHERE id = '{PLANTED}'",
        f"SELECT email FROM people; SELECT '{PLANTED}'",
        f"SELECT email FROM people WHERE email = {PLANTED}",
        f"SELECT '{PLANTED}' AS other FROM people",
        f"SELECT '{PLANTED}' FROM people",
    ],
)
def test_a_wrong_query_does_not_show_its_literals(warehouse, clean, query):
    for ask in (warehouse.describe, warehouse.version):
        with pytest.raises(WarehouseError) as raised:
            ask(QuerySource(query), identifier_columns=["email"], checksum=True)
        clean(raised.value, PLANTED)


def test_a_bare_word_is_shown_but_not_the_same_word_in_quotes(warehouse):
    for query, shown in [("SELECT wordx FROM people", True), ('SELECT "wordx" FROM people', False)]:
        with pytest.raises(QueryFailed) as raised:
            warehouse.describe(QuerySource(query), identifier_columns=["email"])
        assert ("wordx" in str(raised.value)) is shown


@pytest.mark.parametrize("failure", [pl.exceptions.ComputeError, pl.exceptions.PanicException])
def test_what_polars_itself_raises_is_replaced_panics_too(warehouse, clean, failure):
    with pytest.raises(SegmentReadFailed, match=failure.__name__) as raised, warehouse.reading():
        raise failure(PLANTED)
    clean(raised.value)


def test_a_failing_plan_over_the_frame_is_replaced(warehouse, clean):
    frame = warehouse.scan(TableSource("people"), "email").select(pl.col("email").cast(pl.Int32))
    with pytest.raises(SegmentReadFailed, match="InvalidOperationError") as raised, warehouse.reading():
        frame.collect(engine="streaming")
    clean(raised.value)


def test_other_errors_pass_through(warehouse):
    with pytest.raises(KeyError), warehouse.reading():
        raise KeyError


def test_an_error_raised_while_another_is_handled_carries_only_itself(warehouse, clean):
    try:
        int(PLANTED)
    except ValueError:
        with pytest.raises(SegmentReadFailed) as raised, warehouse.reading():
            warehouse.scan(TableSource("late"), "email").collect()
    clean(raised.value)
