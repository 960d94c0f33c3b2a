"""PostgreSQL as a warehouse: its names, types and errors, on a server of the tests' own."""

import traceback

import polars as pl
import pytest

from line_ads_pipeline.warehouse import (
    MissingColumn,
    QueryFailed,
    QuerySource,
    SegmentReadFailed,
    TableNotFound,
    TableSource,
    UnsupportedColumn,
    UnsupportedWarehouse,
    Warehouse,
    WarehouseAccessDenied,
    WarehouseError,
    WarehouseNotFound,
    WarehouseUnreachable,
)
from line_ads_pipeline_tests.postgresql import PASSWORD

VIP = TableSource("marts.vip_customers")
PLANTED = "planted.person@example.jp"
DIGEST = "ab" * 32
SETUP = [
    "CREATE EXTENSION citext",
    "CREATE EXTENSION hstore",
    "CREATE SCHEMA marts",
    "CREATE TYPE tier AS ENUM ('gold', 'it''s, blue')",
    "CREATE TYPE person AS (name text, email text)",
    "CREATE DOMAIN address AS citext CHECK (length(value) < 200)",
    "CREATE DOMAIN addresses AS address[]",
    """CREATE TABLE marts.vip_customers AS SELECT * FROM (VALUES
        (1, 'ann@example.jp', 819012345678, TIMESTAMP '2026-01-01 10:00', TIMESTAMPTZ '2026-01-01 10:00+09'),
        (2, '', NULL, TIMESTAMP '2026-01-03 10:00', NULL),
        (3, NULL, 819087654321, NULL, NULL)) AS t(id, email, phone, updated_at, seen_at)""",
    "CREATE VIEW marts.vip_view AS SELECT * FROM marts.vip_customers",
    "CREATE MATERIALIZED VIEW marts.vip_kept AS SELECT * FROM marts.vip_customers",
    "CREATE TABLE parted (email text) PARTITION BY LIST (email)",
    'CREATE TABLE "Odd "" na.me 顧客" (email text)',
    "CREATE TABLE plain (email text)",
    "CREATE TABLE \"Plain\" AS SELECT 'capital' AS email",
    "CREATE SEQUENCE numbers",
    f"""CREATE TABLE people AS SELECT CASE WHEN i = 299990 THEN '{PLANTED}' ELSE i::text END AS email
        FROM generate_series(1, 300000) AS t(i)""",
    "CREATE VIEW late AS SELECT email::integer AS email FROM people",
    "CREATE VIEW dates AS SELECT email::date::text AS email FROM people WHERE email LIKE 'p%'",
    """CREATE FUNCTION complain(text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no good: %', $1; END $$""",
    f"CREATE VIEW raised AS SELECT complain('{PLANTED}') AS email",
    "CREATE TABLE hidden (email text)",
]


@pytest.fixture(scope="module")
def crm(cluster):
    """The URL of a database with tables."""
    cluster.run("CREATE DATABASE crm")
    cluster.run(*SETUP, database="crm")
    yield cluster.url_of("crm")
    cluster.run("DROP DATABASE crm WITH (FORCE)")


@pytest.fixture
def warehouse(crm, tmp_path):
    with Warehouse(crm, root=tmp_path) as warehouse:
        yield warehouse


def described(warehouse, source, column="email", **options):
    return warehouse.describe(source, identifier_columns=[column], **options)


def values(warehouse, source, column="email"):
    with warehouse.reading():
        return warehouse.scan(source, column).collect().to_series().to_list()


class TestDescribe:
    def test_it_counts_rows_and_nulls_apart_from_blanks(self, warehouse):
        found = described(warehouse, VIP)
        assert (found.row_count, found.null_count, found.identifier_column) == (3, 1, "email")
        assert found.columns == (
            ("id", "integer"),
            ("email", "text"),
            ("phone", "bigint"),
            ("updated_at", "timestamp without time zone"),
            ("seen_at", "timestamp with time zone"),
        )

    @pytest.mark.parametrize(
        ("options", "version"),
        [
            ({}, None),
            ({"updated_at": "updated_at"}, "2026-01-03 10:00:00/3"),
            ({"updated_at": "Seen_At"}, "2026-01-01 01:00:00/3"),
        ],
        ids=str,
    )
    def test_the_data_version_is_the_newest_change_in_utc_and_the_row_count(
        self, warehouse, options, version
    ):
        assert described(warehouse, VIP, **options).data_version == version
        assert warehouse.version(VIP, identifier_columns=["email"], **options) == version

    def test_a_checksum_is_that_of_the_values_whatever_their_order(self, warehouse):
        forwards = QuerySource("SELECT i::text AS email FROM generate_series(1, 1000) AS t(i)")
        backwards = QuerySource("SELECT i AS email FROM generate_series(1000, 1, -1) AS t(i)")
        other = QuerySource("SELECT i AS email FROM generate_series(2, 1001) AS t(i)")
        doubled = QuerySource("SELECT 7 AS email FROM generate_series(1, 1000) AS t(i)")
        one, same, *others = (
            warehouse.version(source, identifier_columns=["email"], checksum=True)
            for source in (forwards, backwards, other, doubled)
        )
        assert one == same == described(warehouse, forwards, checksum=True).data_version
        assert one not in others

    def test_an_updated_at_that_is_no_time_makes_a_version_that_does_not_show_it(self, warehouse):
        version = warehouse.version(VIP, identifier_columns=["email"], updated_at="email")
        assert "ann" not in version
        assert version == described(warehouse, VIP, updated_at="email").data_version

    def test_a_missing_column_is_named_with_those_there(self, warehouse):
        with pytest.raises(MissingColumn, match=r"'e_mail'.*marts\.vip_customers.* email, .*phone"):
            described(warehouse, VIP, "e_mail")


class TestTables:
    @pytest.mark.parametrize(
        "name",
        [
            "marts.vip_customers",
            " Marts . VIP_customers ",
            '"marts"."vip_customers"',
            "crm.marts.vip_customers",
            "marts.vip_view",
            "marts.vip_kept",
        ],
    )
    def test_a_table_or_view_is_found_by_each_way_of_writing_its_name(self, warehouse, name):
        assert described(warehouse, TableSource(name)).row_count == 3

    def test_an_exact_name_goes_before_one_of_another_case(self, warehouse):
        assert values(warehouse, TableSource("plain")) == []
        assert values(warehouse, TableSource("Plain")) == ["capital"]

    @pytest.mark.parametrize("name", ['"Odd "" na.me 顧客"', 'public."odd "" NA.me 顧客"', "parted"])
    def test_odd_names_and_partitioned_tables_are_found(self, warehouse, name):
        assert described(warehouse, TableSource(name)).row_count == 0

    def test_an_absent_table_is_named_with_the_nearest(self, warehouse):
        with pytest.raises(TableNotFound, match=r"vip_custmers in .* are: marts\.vip_customers, "):
            described(warehouse, TableSource("marts.vip_custmers"))

    def test_the_search_path_of_the_user_is_followed(self, crm, tmp_path):
        with Warehouse(f"{crm}&options=-csearch_path%3Dmarts", root=tmp_path) as warehouse:
            assert described(warehouse, TableSource("vip_customers")).row_count == 3


class TestTypes:
    @pytest.mark.parametrize(
        ("sql", "kind", "expected"),
        [
            ("'ann@example.jp'", "text", "ann@example.jp"),
            ("'Ann@example.jp'::varchar(40)", "character varying", "Ann@example.jp"),
            ("'Ann@example.jp'::citext", "citext", "Ann@example.jp"),
            ("'ann@example.jp'::char(40)", "character", "ann@example.jp"),
            ("'ann@example.jp'::name", "name", "ann@example.jp"),
            ("''", "text", ""),
            ("7::smallint", "smallint", "7"),
            ("819012345678", "bigint", "819012345678"),
            ("819012345678::numeric(20)", "numeric", "819012345678"),
            ("819012345678.00", "numeric", "819012345678"),
            ("12345678901234567890123::numeric", "numeric", "12345678901234567890123"),
            ("819012345.678", "numeric", "(a number with a fraction)"),
            ("NULL::numeric", "numeric", None),
            (
                "'0B3C3F6E-3A3F-4C55-9D0E-0C4B1F0A6D11'::uuid",
                "uuid",
                "0b3c3f6e-3a3f-4c55-9d0e-0c4b1f0a6d11",
            ),
            ("'it''s, blue'::tier", "tier", "it's, blue"),
            ("'Ann@example.jp'::address", "address", "Ann@example.jp"),
            (f"decode('{DIGEST}', 'hex')", "bytea", DIGEST),
            (r"'\x3039'::bytea", "bytea", "(bytes that are no SHA-256)"),
            ("NULL::bytea", "bytea", None),
            ("NULL::uuid", "uuid", None),
        ],
    )
    def test_what_can_hold_identifiers_comes_as_text(self, warehouse, sql, kind, expected):
        source = QuerySource(f"SELECT {sql} AS email")
        assert described(warehouse, source).columns == (("email", kind),)
        assert warehouse.scan(source, "email").collect_schema() == {"email": pl.String}
        assert values(warehouse, source) == [expected]

    @pytest.mark.parametrize(
        ("sql", "kind", "expected"),
        [
            ("ARRAY['a', '', NULL, 'B']", "text[]", ["a", "", None, "B"]),
            ("'{A,b}'::citext[]", "citext[]", ["A", "b"]),
            ("ARRAY['A', 'b']::addresses", "addresses", ["A", "b"]),
            (
                "'{0b3c3f6e-3a3f-4c55-9d0e-0c4b1f0a6d11}'::uuid[]",
                "uuid[]",
                ["0b3c3f6e-3a3f-4c55-9d0e-0c4b1f0a6d11"],
            ),
            ("ARRAY['ab ', 'c']::char(5)[]", "character[]", ["ab", "c"]),
            ("ARRAY[[1, 2], [3, 4]]", "integer[]", ["1", "2", "3", "4"]),
            ("ARRAY[1.0, 1.5]", "numeric[]", ["1", "(a number with a fraction)"]),
            ("NULL::text[]", "text[]", [None]),
            ("'{}'::text[]", "text[]", [None]),
        ],
    )
    def test_each_element_of_an_array_is_a_row_and_no_element_one_null(self, warehouse, sql, kind, expected):
        source = QuerySource(
            f"SELECT x.email FROM (SELECT 1 AS i, {sql} AS email) AS x RIGHT JOIN (VALUES (1), (2)) AS y(i) USING (i) "
            "ORDER BY y.i"
        )
        found = described(warehouse, source, checksum=True)
        assert found.columns == (("email", kind),)
        assert values(warehouse, source) == [*expected, None]
        assert (found.row_count, found.null_count) == (len(expected) + 1, expected.count(None) + 1)
        assert found.data_version == warehouse.version(source, identifier_columns=["email"], checksum=True)

    @pytest.mark.parametrize(
        ("sql", "kind", "remedy"),
        [
            ("'{}'::json", "json", r"select the text in it, such as profile->>'email' AS email"),
            ("'{}'::jsonb", "jsonb", "select the text"),
            ("ARRAY['{}'::jsonb]", "jsonb[]", "select the text"),
            ("'a=>b'::hstore", "hstore", "select the text"),
            ("('a', 'b')::person", "person", "cast it to text"),
            ("1.0::float8", "double precision", "BIGINT"),
            ("1.0::float4", "real", "BIGINT"),
            ("'1'::money", "money", "BIGINT"),
            ("true", "boolean", "column of text"),
            ("now()", "timestamp with time zone", "column of text"),
            ("current_date", "date", "column of text"),
            ("'1 day'::interval", "interval", "column of text"),
            ("'<a/>'::xml", "xml", "cast it to text"),
        ],
    )
    def test_what_cannot_is_refused_with_the_remedy(self, warehouse, sql, kind, remedy):
        source = QuerySource(f"SELECT {sql} AS email, 1 AS id")
        expected = (
            rf"'email' of the query has the type {kind.replace('[', '.').replace(']', '.')}, .*{remedy}"
        )
        with pytest.raises(UnsupportedColumn, match=expected):
            described(warehouse, source)
        with pytest.raises(UnsupportedColumn, match=expected):
            warehouse.scan(source, "email")
        assert values(warehouse, source, "id") == ["1"]

    @pytest.mark.parametrize("style", ["SQL, DMY", "German"])
    def test_settings_of_the_user_change_nothing(self, cluster, crm, tmp_path, style):
        cluster.run(
            f"ALTER DATABASE crm SET datestyle TO {style}",
            "ALTER DATABASE crm SET bytea_output TO 'escape'",
            "ALTER DATABASE crm SET client_encoding TO 'LATIN1'",
            "ALTER DATABASE crm SET timezone TO 'Asia/Tokyo'",
        )
        try:
            with Warehouse(crm, root=tmp_path) as warehouse:
                found = described(warehouse, VIP, updated_at="seen_at")
                assert found.data_version == "2026-01-01 01:00:00/3"
                assert values(warehouse, QuerySource("SELECT '顧客@example.jp' AS email")) == [
                    "顧客@example.jp"
                ]
        finally:
            cluster.run("ALTER DATABASE crm RESET ALL")


class TestQueries:
    @pytest.mark.parametrize(
        "query",
        [
            "SELECT email FROM marts.vip_customers WHERE id = 1",
            " select email from marts.vip_customers where id = 1 ; -- done",
            "WITH x AS (SELECT 1 AS id) SELECT email FROM marts.vip_customers JOIN x USING (id)",
            "VALUES ('ann@example.jp')",
            "(SELECT email FROM marts.vip_customers WHERE id = 1)",
            "SELECT email FROM marts.vip_customers WHERE id = 1 /* a ; /* nested */ ) */ -- last",
            "SELECT $x$ann@example.jp$x$ AS email",
        ],
    )
    def test_one_select_however_written(self, warehouse, query):
        column = "column1" if query.startswith("VALUES") else "email"
        assert values(warehouse, QuerySource(query), column) == ["ann@example.jp"]

    @pytest.mark.parametrize(
        "query",
        [
            "",
            ";",
            "-- nothing",
            "SELECT 1 AS email; SELECT 2 AS email",
            "SELECT 1 AS email; DROP TABLE plain",
            "DROP TABLE plain",
            "INSERT INTO plain VALUES ('x') RETURNING email",
            "UPDATE plain SET email = 'x' RETURNING email",
            "COPY plain TO STDOUT",
            "SET statement_timeout = 0",
            "SHOW server_version",
            "EXPLAIN SELECT 1",
            "CALL x()",
            "SELECT 1 AS email) AS x; DROP TABLE plain; SELECT * FROM (SELECT 1",
            "SELECT 1) AS a, (SELECT 2 AS email",
            "SELECT 'x AS email",
            "SELECT 1 AS email /* x",
        ],
    )
    def test_anything_but_one_select_is_refused(self, warehouse, query):
        with pytest.raises(QueryFailed):
            described(warehouse, QuerySource(query))

    @pytest.mark.parametrize(
        "query",
        [
            "WITH x AS (INSERT INTO plain VALUES ('x') RETURNING email) SELECT * FROM x",
            "SELECT * INTO copied FROM plain",
            "SELECT nextval('numbers') AS email",
            "SELECT email FROM marts.vip_customers FOR UPDATE",
            "SELECT set_config('transaction_read_only', 'off', false) AS email",
            "SELECT query_to_xml('DELETE FROM marts.vip_customers', true, true, '')::text AS email",
        ],
    )
    def test_a_query_cannot_write(self, warehouse, cluster, query):
        with pytest.raises(WarehouseError):
            described(warehouse, QuerySource(query))
        [(rows, last)] = cluster.run(
            "SELECT (SELECT count(*) FROM plain) + (SELECT count(*) FROM marts.vip_customers), last_value "
            "FROM numbers",
            database="crm",
        )
        assert (rows, last) == (3, 1)
        assert described(warehouse, VIP).row_count == 3

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("SELECT emial FROM marts.vip_customers", "not there .SQLSTATE 42703"),
            ("SELECT 1 FROM nowhere", "not there .SQLSTATE 42P01"),
            ("SELECT 1 AS email FRM a b c", "SQL is wrong .SQLSTATE 42601"),
            ("SELECT a[1 : :day] AS email FROM (SELECT 1) AS a", "SQL is wrong .SQLSTATE 42601"),
            ("SELECT :day AS email", "has parameters .*:run_date is the run date"),
            ("SELECT $1 AS email", "SQLSTATE"),
        ],
    )
    def test_a_wrong_query_tells_its_sqlstate(self, warehouse, query, words):
        with pytest.raises(WarehouseError, match=words):
            described(warehouse, QuerySource(query))

    def test_a_failure_leaves_the_warehouse_usable(self, warehouse):
        with pytest.raises(SegmentReadFailed), warehouse.reading():
            warehouse.scan(TableSource("late"), "email").collect()
        assert described(warehouse, VIP).row_count == 3

    def test_the_run_date_is_a_date(self, warehouse):
        source = QuerySource("SELECT (:run_date - 1)::text AS email, ':run_date'", "2026-03-01")
        assert values(warehouse, source) == ["2026-02-28"]
        with pytest.raises(QueryFailed, match="run date"):
            described(warehouse, QuerySource("SELECT :run_date AS email"))


class TestConnecting:
    @pytest.mark.parametrize(
        ("database", "user", "password", "error", "words"),
        [
            (
                "crm",
                "tester",
                "hunter2-pass",
                WarehouseAccessDenied,
                "Check the user and the password in WAREHOUSE_URL",
            ),
            ("crm", "hunter", "hunter2-pass", WarehouseAccessDenied, "Check the user and the password"),
            ("nowhere", "tester", PASSWORD, WarehouseNotFound, "no such database"),
        ],
        ids=["wrong password", "unknown user", "unknown database"],
    )
    @pytest.mark.usefixtures("crm")
    def test_what_is_wrong_with_the_url_is_told_without_showing_it(
        self, cluster, tmp_path, database, user, password, error, words
    ):
        url = cluster.url_of(database, user=user, password=password)
        with Warehouse(url, root=tmp_path) as warehouse, pytest.raises(error, match=words) as raised:
            described(warehouse, VIP)
        assert_clean(raised.value, password, user, str(cluster.folder))

    @pytest.mark.parametrize(
        ("where", "words"),
        [
            ("127.0.0.1:1/crm", "nothing listens there"),
            ("/crm?host=/nowhere/at/all", "nothing listens there"),
            ("db.invalid/crm?connect_timeout=5", "PostgreSQL cannot be connected to"),
        ],
        ids=["port", "socket", "name"],
    )
    def test_a_server_that_is_not_there(self, tmp_path, where, words):
        with (
            Warehouse(f"postgresql://me:hunter2@{where}", root=tmp_path) as warehouse,
            pytest.raises(WarehouseUnreachable, match=words) as raised,
        ):
            described(warehouse, VIP)
        assert_clean(raised.value, "hunter2", "db.invalid")

    def test_parameters_reach_libpq(self, crm, tmp_path):
        with (
            Warehouse(f"{crm}&sslcertmode=bogus&hunter2=x", root=tmp_path) as warehouse,
            pytest.raises(UnsupportedWarehouse, match="parameters that libpq knows") as raised,
        ):
            described(warehouse, VIP)
        assert_clean(raised.value, "hunter2")

    @pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
    def test_a_url_without_an_authority(self, cluster, crm, tmp_path, scheme):
        assert crm
        url = f"{scheme}:///crm?host={cluster.folder}&user=tester&password={PASSWORD}"
        with Warehouse(url, root=tmp_path) as warehouse:
            assert described(warehouse, VIP).row_count == 3

    @pytest.mark.parametrize("url", ["postgresql:crm", "postgresql://me:hun#ter2@db.invalid/crm"])
    def test_a_malformed_url_is_not_tried(self, tmp_path, url):
        with pytest.raises(UnsupportedWarehouse, match=r"malformed .* percent-encoded") as raised:
            Warehouse(url, root=tmp_path)
        assert_clean(raised.value, "hun", "ter2")

    def test_postgres_is_another_name_of_the_scheme(self, crm, tmp_path):
        with Warehouse(crm.replace("postgresql:", "postgres:"), root=tmp_path) as warehouse:
            assert described(warehouse, VIP).row_count == 3

    @pytest.mark.usefixtures("crm")
    def test_reading_needs_the_permission(self, cluster, tmp_path):
        cluster.run("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN PASSWORD 'guest-pass'")
        with Warehouse(
            cluster.url_of("crm", user="guest", password="guest-pass"), root=tmp_path
        ) as warehouse:
            with pytest.raises(
                WarehouseAccessDenied, match=r"table hidden.*permission denied.*SELECT.*42501"
            ):
                described(warehouse, TableSource("hidden"))
            with pytest.raises(WarehouseAccessDenied, match=r"the query failed: permission denied"):
                described(warehouse, QuerySource("SELECT * FROM hidden"))
        cluster.run("DROP ROLE guest")

    def test_a_limit_of_the_server_is_told(self, crm, tmp_path):
        with (
            Warehouse(f"{crm}&options=-cstatement_timeout%3D200", root=tmp_path) as warehouse,
            pytest.raises(SegmentReadFailed, match=r"statement_timeout\) \(SQLSTATE 57014"),
        ):
            described(warehouse, QuerySource("SELECT pg_sleep(60)::text AS email"))


@pytest.mark.parametrize(
    "source", [TableSource("late"), TableSource("dates"), TableSource("raised")], ids=str
)
@pytest.mark.parametrize(
    "read",
    [
        described,
        lambda warehouse, source: described(warehouse, source, updated_at="email"),
        lambda warehouse, source: warehouse.version(source, identifier_columns=["email"], checksum=True),
        lambda warehouse, source: warehouse.scan(source, "email").collect(),
        lambda warehouse, source: list(warehouse.scan(source, "email").collect_batches()),
    ],
    ids=["describe", "updated_at", "checksum", "collect", "batches"],
)
def test_a_failing_read_is_typed_and_quotes_nothing(warehouse, source, read, capfd):
    with pytest.raises(SegmentReadFailed) as raised, warehouse.reading():
        read(warehouse, source)
    assert_clean(raised.value, PLANTED, "planted")
    assert "planted" not in "".join(capfd.readouterr())


def assert_clean(error, *secrets):
    assert error.__cause__ is None
    assert error.__context__ is None
    texts = [str(error), repr(error), repr(error.__dict__), "".join(traceback.format_exception(error))]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "line_ads_pipeline/warehouse" in frame.f_code.co_filename:
            texts += [repr(value) for value in frame.f_locals.values() if isinstance(value, BaseException)]
    for secret in secrets:
        assert secret not in "\n".join(texts)
