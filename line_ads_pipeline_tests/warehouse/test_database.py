import subprocess
import sys

import duckdb
import polars as pl
import pytest

from line_ads_pipeline.warehouse import (
    MissingColumn,
    QueryFailed,
    QuerySource,
    TableNotFound,
    TableSource,
    UnsupportedWarehouse,
    Warehouse,
    WarehouseBusy,
    WarehouseClosed,
    WarehouseError,
    WarehouseNotFound,
    WarehouseOutOfMemory,
    WarehouseUnreadable,
    duckdb_segment,
)

VIP = TableSource("marts.vip_customers")
ODD = 'odd "" na.me 顧客'


def values(warehouse, source, column="email"):
    with warehouse.reading():
        return sorted(warehouse.scan(source, column).collect().to_series().to_list(), key=str)


class TestDescribe:
    def test_it_counts_rows_and_nulls_apart_from_blanks(self, warehouse):
        found = warehouse.describe(VIP, identifier_columns=["email"])
        assert (found.row_count, found.null_count, found.identifier_column) == (3, 1, "email")

    def test_columns_carry_the_types_of_the_warehouse_without_members_of_an_enum(self, warehouse):
        assert warehouse.describe(VIP, identifier_columns=["email"]).columns == (
            ("id", "INTEGER"),
            ("email", "VARCHAR"),
            ("phone", "BIGINT"),
            ("ifa", "UUID"),
            ("tier", "ENUM"),
            ("colour", "ENUM"),
            ("updated_at", "TIMESTAMP"),
            ("seen_at", "TIMESTAMP WITH TIME ZONE"),
        )

    @pytest.mark.parametrize(
        ("updated_at", "version"),
        [
            (None, None),
            ("updated_at", "2026-01-03 10:00:00/3"),
            ("UPDATED_AT", "2026-01-03 10:00:00/3"),
            ("seen_at", "2026-01-01 01:00:00/3"),
        ],
    )
    def test_the_data_version_is_the_newest_change_and_the_row_count(self, warehouse, updated_at, version):
        assert (
            warehouse.describe(VIP, identifier_columns=["email"], updated_at=updated_at).data_version
            == version
        )

    def test_the_data_version_of_an_empty_table(self, warehouse):
        found = warehouse.describe(
            TableSource("empty_table"), identifier_columns=["email"], updated_at="updated_at"
        )
        assert (found.data_version, found.row_count, found.null_count) == ("never/0", 0, 0)

    @pytest.mark.parametrize("value", ["819012345678", "'ann@example.jp'", "'ann@example.jp'::BLOB"])
    def test_an_updated_at_that_is_no_time_makes_a_version_that_does_not_show_it(self, warehouse, value):
        one, same, other = (
            warehouse.describe(
                QuerySource(f"SELECT 1 AS id, {it} AS changed"),
                identifier_columns=["id"],
                updated_at="changed",
            ).data_version
            for it in (value, value, value.replace("1", "2").replace("ann", "bob"))
        )
        assert one == same != other
        assert "ann" not in one
        assert "8190" not in one

    def test_the_first_wanted_column_that_is_there_is_the_identifier(self, warehouse):
        wanted = ["idfa", "ifa", "id"]
        assert warehouse.describe(VIP, identifier_columns=wanted).identifier_column == "ifa"

    def test_case_matters_only_where_there_is_no_exact_name(self, warehouse):
        found = warehouse.describe(TableSource("PLAIN"), identifier_columns=["email"])
        assert found.identifier_column == "Email"

    @pytest.mark.parametrize(
        "read",
        [
            lambda warehouse: warehouse.describe(VIP, identifier_columns=["e_mail"]),
            lambda warehouse: warehouse.describe(VIP, identifier_columns=["id"], updated_at="e_mail"),
            lambda warehouse: warehouse.scan(VIP, "e_mail"),
        ],
        ids=["identifier", "updated_at", "scan"],
    )
    def test_a_missing_column_is_named_with_those_there(self, warehouse, read):
        with pytest.raises(MissingColumn, match=r"'e_mail'.*marts\.vip_customers.* email, .*phone"):
            read(warehouse)

    def test_of_several_missing_columns_all_are_named(self, warehouse):
        with pytest.raises(MissingColumn, match=r"There is none of the columns gaid, idfa in table marts"):
            warehouse.describe(VIP, identifier_columns=["gaid", "idfa"])


class TestTables:
    @pytest.mark.parametrize(
        "name",
        [
            "marts.vip_customers",
            " Marts . VIP_customers ",
            '"marts"."vip_customers"',
            "shop.marts.vip_customers",
            'shop."marts".vip_customers',
        ],
    )
    def test_a_table_is_found_by_each_way_of_writing_its_name(self, warehouse, name):
        assert warehouse.describe(TableSource(name), identifier_columns=["email"]).row_count == 3

    @pytest.mark.parametrize("name", [f'"{ODD}"', f'main."{ODD}"', f'shop."{ODD}"', f'shop.main."{ODD}"'])
    def test_a_name_with_dots_spaces_and_quotes_is_found_in_quotes(self, warehouse, name):
        assert values(warehouse, TableSource(name)) == ["odd@example.jp"]

    @pytest.mark.parametrize(
        "name", ["", " ", ".", "a.", ".a", "a..b", "a.b.c.d", '"', '""', 'a"b', '"a"b', "a.b."]
    )
    def test_what_is_no_name_is_refused(self, warehouse, name):
        with pytest.raises(TableNotFound, match="is not the name of a table"):
            warehouse.describe(TableSource(name), identifier_columns=["email"])

    @pytest.mark.parametrize(
        "name",
        [
            "plain; DROP TABLE plain",
            'plain" JOIN marts.vip_customers ON true --',
            "(SELECT 1 AS email)",
            "range(3)",
            "duckdb_settings()",
            '"data/people.csv"',
            "'data/people.csv'",
        ],
    )
    def test_a_name_is_never_taken_for_sql_or_a_file(self, warehouse, root, name):
        (root / "data" / "people.csv").write_text("email\nann@example.jp\n")
        with pytest.raises(TableNotFound):
            warehouse.describe(TableSource(name), identifier_columns=["email"])

    def test_an_unknown_table_is_named_with_those_there_the_closest_first(self, warehouse):
        with pytest.raises(TableNotFound, match=r"vip_customer .* are: marts\.vip_customers, "):
            warehouse.describe(TableSource("vip_customer"), identifier_columns=["email"])

    def test_at_most_ten_names_are_listed(self, database, root):
        with duckdb.connect(str(database)) as connection:
            for number in range(30):
                connection.execute(f"CREATE TABLE t{number} (x INTEGER)")
        with (
            Warehouse("duckdb:///data/shop.duckdb", root=root) as warehouse,
            pytest.raises(TableNotFound, match=r"(\S+, ){9}\S+ and 26 more\."),
        ):
            warehouse.describe(TableSource("nothing_like_it"), identifier_columns=["email"])

    def test_a_view_on_a_dropped_table_is_not_called_a_missing_view(self, warehouse):
        with pytest.raises(WarehouseError, match=r"Reading table stale failed.*Catalog error") as raised:
            warehouse.describe(TableSource("stale"), identifier_columns=["email"])
        assert not isinstance(raised.value, TableNotFound)


class TestQueries:
    @pytest.mark.parametrize(
        "query",
        [
            "SELECT email FROM marts.vip_customers WHERE id = 1",
            "SELECT email FROM marts.vip_customers WHERE id = 1;",
            "SELECT email FROM marts.vip_customers WHERE id = 1 -- the first",
            "SELECT email FROM marts.vip_customers WHERE id = 1; -- the; first\n",
            "SELECT email FROM marts.vip_customers WHERE id = 1 /* ; */ ; /* ; */ ;; ",
            "SELECT '日本;' AS note, email FROM marts.vip_customers WHERE id = 1 ;",
            "WITH one AS (SELECT * FROM marts.vip_customers WHERE id = 1) SELECT email FROM one",
            "FROM marts.vip_customers SELECT email WHERE id = 1",
            "(SELECT email FROM marts.vip_customers WHERE id = 1)",
            "SELECT ann.email FROM (VALUES ('ann@example.jp')) AS ann(email)",
            "SELECT email FROM marts.vip_customers ORDER BY id LIMIT 1",
        ],
    )
    def test_one_select_however_written(self, warehouse, query):
        assert values(warehouse, QuerySource(query)) == ["ann@example.jp"]
        assert warehouse.describe(QuerySource(query), identifier_columns=["email"]).row_count == 1

    @pytest.mark.parametrize(
        "query",
        [
            "",
            ";",
            "-- nothing",
            "SELECT 1 AS email; SELECT 2 AS email",
            "DROP TABLE plain",
            "INSERT INTO plain VALUES ('x') RETURNING email",
            "COPY plain TO 'out.csv'",
            "ATTACH 'other.duckdb'",
            "SET memory_limit = '9GB'",
            "SELECT 1 AS email) AS x; DROP TABLE plain; SELECT * FROM (SELECT 1",
            "PRAGMA version",
            "CALL pragma_version()",
            "EXPLAIN SELECT 1",
            "INSTALL httpfs",
        ],
    )
    def test_anything_but_one_select_is_refused(self, warehouse, query):
        with pytest.raises(QueryFailed):
            warehouse.describe(QuerySource(query), identifier_columns=["email"])

    def test_a_select_that_would_write_is_refused(self, warehouse):
        query = "WITH gone AS (DELETE FROM plain RETURNING Email) SELECT * FROM gone"
        with pytest.raises(WarehouseError):
            warehouse.describe(QuerySource(query), identifier_columns=["email"])

    @pytest.mark.parametrize("query", ["SELECT ? AS email", "SELECT $day AS email"])
    def test_other_parameters_are_refused(self, warehouse, query):
        with pytest.raises(QueryFailed, match="not supported"):
            warehouse.describe(QuerySource(query), identifier_columns=["email"])

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ("SELECT emial FROM marts.vip_customers", "Binder error at line 1, column 8, near emial"),
            (
                "SELECT '日本',\n  emial FROM marts.vip_customers",
                "Binder error at line 2, column 3, near emial",
            ),
            ("SELECT 1 FROM nowhere", "Catalog error at line 1, column 15, near nowhere"),
            ("SELECT 1 FRM a b c", "Parser error at line 1, column 14"),
        ],
    )
    def test_a_wrong_query_is_shown_its_place_and_bare_word(self, warehouse, query, place):
        with pytest.raises(QueryFailed, match=place):
            warehouse.describe(QuerySource(query), identifier_columns=["email"])

    def test_a_query_cannot_read_variables_of_this_process(self, warehouse, monkeypatch):
        variable = pl.DataFrame({"email": ["ann@example.jp"]})
        monkeypatch.setattr(duckdb_segment, "variable", variable, raising=False)
        with pytest.raises(QueryFailed, match="Catalog error"):
            warehouse.describe(QuerySource("SELECT email FROM variable"), identifier_columns=["email"])


class TestScan:
    @pytest.mark.parametrize(
        ("column", "kind", "expected"),
        [
            ("email", pl.String, ["", "ann@example.jp", None]),
            ("phone", pl.Int64, [819012345678, 819087654321, None]),
            ("ifa", pl.String, ["0b3c3f6e-3a3f-4c55-9d0e-0c4b1f0a6d11", None, None]),
            ("colour", pl.String, [None, None, "red"]),
            ("tier", pl.String, [None, "gold", "it's), blue"]),
        ],
    )
    def test_types(self, warehouse, column, kind, expected):
        frame = warehouse.scan(VIP, column)
        assert frame.collect_schema() == {column: kind}
        assert values(warehouse, VIP, column) == sorted(expected, key=str)

    @pytest.mark.parametrize("kind", ["HUGEINT", "UHUGEINT", "BIGNUM", "DECIMAL(20,0)"])
    def test_integers_wider_than_64_bits_come_as_exact_text(self, warehouse, kind):
        source = QuerySource(f"SELECT 12345678901234567890::{kind} AS phone")
        assert values(warehouse, source, "phone") == ["12345678901234567890"]

    def test_the_frame_may_be_filtered_cut_counted_and_read_twice(self, warehouse):
        frame = warehouse.scan(QuerySource("SELECT i::VARCHAR AS email FROM range(300000) t(i)"), "email")
        assert frame.select(pl.len()).collect().item() == 300_000
        assert frame.head(200_000).collect().height == 200_000
        assert frame.filter(pl.col("email") == "7").collect().height == 1
        assert frame.head(5).filter(pl.col("email") == "never").collect().height == 0
        assert frame.select(pl.col("email").n_unique()).collect(engine="streaming").item() == 300_000

    def test_a_warehouse_may_be_read_by_several_at_once(self, warehouse, root):
        with Warehouse("duckdb:///data/shop.duckdb", root=root) as other:
            frames = [warehouse.scan(VIP, "email"), other.scan(VIP, "email"), warehouse.scan(VIP, "email")]
            assert [frame.height for frame in pl.collect_all(frames)] == [3, 3, 3]

    def test_another_process_reads_the_same_file_meanwhile(self, warehouse, database):
        assert values(warehouse, VIP)
        script = "import duckdb, sys\nwith duckdb.connect(sys.argv[1], read_only=True) as c: print(c.execute('SELECT 7').fetchone())"
        done = subprocess.run(
            [sys.executable, "-c", script, str(database)], capture_output=True, text=True, check=True
        )
        assert done.stdout == "(7,)\n"


class TestOpening:
    def test_an_absolute_url(self, database, tmp_path):
        with Warehouse(f"duckdb:///{database}", root=tmp_path / "elsewhere") as warehouse:
            assert warehouse.describe(VIP, identifier_columns=["email"]).row_count == 3

    @pytest.mark.parametrize(
        "url",
        [
            "mysql://me:hunter2@host/db",
            "postgresql://me:hunter2@[host/db",
            "snowflake://me:hunter2@account",
            "snowflake://me:hunter2@account/db?hunter2=1",
            "snowflake://account/db",
            "bigquery://me:hunter2@project/dataset",
            "bigquery://project",
            "bigquery://project/data-set",
            "sqlite://x.db",
            "sqlite:///",
            "md:",
            "md:x?motherduck_token=hunter2",
            "duckdb://x",
            "duckdb:///",
            "",
            "me:hunter2@host",
            "/a/b.duckdb",
        ],
    )
    def test_another_kind_of_warehouse_is_refused_without_showing_its_url(self, root, url):
        with pytest.raises(UnsupportedWarehouse, match=r"WAREHOUSE_URL .*Write \w+:") as raised:
            Warehouse(url, root=root)
        assert "hunter2" not in str(raised.value)
        assert raised.value.__context__ is None

    @pytest.mark.parametrize("limit", ["lots", "", "1", "1GB; DROP"])
    def test_a_memory_limit_is_an_amount(self, root, limit):
        with pytest.raises(UnsupportedWarehouse, match="memory_limit"):
            Warehouse("duckdb:///x.duckdb", root=root, memory_limit=limit)

    def test_no_file(self, root):
        with (
            Warehouse("duckdb:///none.duckdb", root=root) as warehouse,
            pytest.raises(WarehouseNotFound, match=r"none\.duckdb.*WAREHOUSE_URL"),
        ):
            warehouse.describe(VIP, identifier_columns=["email"])
        assert not (root / "none.duckdb").exists()

    @pytest.mark.parametrize("content", [b"", b"ann@example.jp" * 1000], ids=["empty", "garbage"])
    def test_no_database(self, root, content):
        (root / "bad.duckdb").write_bytes(content)
        with (
            Warehouse("duckdb:///bad.duckdb", root=root) as warehouse,
            pytest.raises(WarehouseUnreadable, match=r"bad\.duckdb.*IO error"),
        ):
            warehouse.describe(VIP, identifier_columns=["email"])

    def test_a_writer_in_another_process_is_named_by_its_process(self, database, root):
        script = "import duckdb, sys\nwith duckdb.connect(sys.argv[1]): print('open', flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", script, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout.readline() == b"open\n"
            with (
                Warehouse("duckdb:///data/shop.duckdb", root=root) as warehouse,
                pytest.raises(WarehouseBusy, match=f"process {writer.pid}"),
            ):
                warehouse.describe(VIP, identifier_columns=["email"])
            writer.stdin.close()

    def test_a_writer_in_this_process(self, database, root):
        with (
            duckdb.connect(str(database)),
            Warehouse("duckdb:///data/shop.duckdb", root=root) as warehouse,
            pytest.raises(WarehouseBusy, match="in this process"),
        ):
            warehouse.describe(VIP, identifier_columns=["email"])

    def test_the_file_may_be_written_once_the_warehouse_is_left(self, database, root):
        with Warehouse("duckdb:///data/shop.duckdb", root=root) as warehouse:
            batches = iter(warehouse.scan(VIP, "email").collect_batches())
            next(batches)
        with duckdb.connect(str(database)) as connection:
            connection.execute("CREATE TABLE written (x INTEGER)")

    @pytest.mark.usefixtures("database")
    def test_outside_its_with_block_nothing_is_read(self, root):
        warehouse = Warehouse("duckdb:///data/shop.duckdb", root=root)
        with pytest.raises(WarehouseClosed):
            warehouse.scan(VIP, "email")
        with warehouse:
            frame = warehouse.scan(VIP, "email")
        with pytest.raises(WarehouseClosed), warehouse.reading():
            frame.collect()

    @pytest.mark.usefixtures("database")
    def test_the_memory_limit_is_named_when_it_is_too_low_and_nothing_is_spilled(self, root):
        query = QuerySource("SELECT DISTINCT i::VARCHAR || '@example.jp' AS email FROM range(3000000) t(i)")
        before = set(root.rglob("*"))
        with Warehouse("duckdb:///data/shop.duckdb", root=root, memory_limit="50MB") as warehouse:
            with pytest.raises(WarehouseOutOfMemory, match="memory_limit of 50MB"):
                warehouse.describe(query, identifier_columns=["email"])
            with pytest.raises(WarehouseOutOfMemory, match="memory_limit of 50MB"), warehouse.reading():
                warehouse.scan(query, "email").collect()
            assert set(root.rglob("*")) == before
