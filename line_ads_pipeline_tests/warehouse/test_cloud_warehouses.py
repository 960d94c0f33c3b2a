"""Snowflake, BigQuery and MotherDuck as far as they go without an account: the real drivers, on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pytest

from line_ads_pipeline.warehouse import (
    TableSource,
    Warehouse,
    WarehouseAccessDenied,
    WarehouseNotFound,
    WarehouseUnreachable,
    bigquery,
    snowflake,
)
from line_ads_pipeline.warehouse.dialect import Column
from line_ads_pipeline.warehouse.location import locate
from line_ads_pipeline.warehouse.table_name import TableName

ROOT = Path()
PEOPLE = TableSource("people")
REFUSAL = {"data": None, "code": "390100", "message": "Incorrect username or password: me", "success": False}


@pytest.fixture
def login_server():
    """Answers each login as Snowflake answers a wrong password; gives its port and what it was sent."""
    requests = []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, json.loads(body)["data"]))
            answer = json.dumps(REFUSAL).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, requests
        server.shutdown()
        thread.join()


def describe(url):
    with Warehouse(url, root=ROOT) as warehouse:
        warehouse.describe(PEOPLE, identifier_columns=["email"])


def assert_clean(error, *secrets):
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not [secret for secret in secrets if secret in str(error) + repr(error)]


class TestSnowflake:
    def test_the_url_becomes_the_options_of_the_driver(self):
        place = locate(
            "snowflake://m%40e:p%2Fw@xy1-ab.eu-west-1/crm/marts?warehouse=small&role=reader", root=ROOT
        )
        assert place.options == {
            "username": "m@e",
            "password": "p/w",
            "adbc.snowflake.sql.account": "xy1-ab.eu-west-1",
            "adbc.snowflake.sql.db": "crm",
            "adbc.snowflake.sql.schema": "marts",
            "adbc.snowflake.sql.warehouse": "small",
            "adbc.snowflake.sql.role": "reader",
            "adbc.snowflake.sql.client_option.login_timeout": "30s",
        }
        assert "p/w" not in repr(place)

    def test_a_refused_login_is_told_without_the_password(self, login_server):
        port, requests = login_server
        url = f"snowflake://me:hunter2@acme/crm/marts?warehouse=small&role=reader&host=127.0.0.1&port={port}&protocol=http"
        with pytest.raises(
            WarehouseAccessDenied, match=r"Check the user and the password.*SQLSTATE 08004"
        ) as raised:
            describe(url)
        assert_clean(raised.value, "hunter2", "acme", "127.0.0.1")
        [(path, sent)] = requests
        assert (sent["LOGIN_NAME"], sent["PASSWORD"], sent["ACCOUNT_NAME"]) == ("me", "hunter2", "acme")
        assert all(
            part in path
            for part in ("databaseName=crm", "schemaName=marts", "warehouse=small", "roleName=reader")
        )

    def test_a_host_that_is_not_there_is_told_in_time(self):
        timeouts = "&".join(f"{name}_timeout=1s" for name in ("login", "request", "client"))
        with pytest.raises(WarehouseUnreachable, match="nothing listens there") as raised:
            describe(f"snowflake://me:hunter2@acme/crm?host=127.0.0.1&port=1&protocol=http&{timeouts}")
        assert_clean(raised.value, "hunter2", "acme", "127.0.0.1")

    @pytest.mark.parametrize(
        ("kind", "column"),
        [
            ("VARCHAR(16777216)[LOB]", Column("x", "VARCHAR(16777216)", "text")),
            ("NUMBER(38,0)[SB16]", Column("x", "NUMBER(38,0)", "text")),
            ("NUMBER(10,2)[SB8]", Column("x", "NUMBER(10,2)", "number")),
            ("BINARY(32)[LOB]", Column("x", "BINARY(32)", "digest")),
            ("ARRAY[LOB]", Column("x", "ARRAY", "text", is_list=True)),
            ("VARIANT[LOB]", Column("x", "VARIANT", None)),
            ("OBJECT[LOB]", Column("x", "OBJECT", None)),
            ("FLOAT[DOUBLE]", Column("x", "FLOAT", None)),
            ("TIMESTAMP_TZ(9)[SB16]", Column("x", "TIMESTAMP_TZ(9)", None)),
            ("BOOLEAN[SB1]", Column("x", "BOOLEAN", None)),
        ],
    )
    def test_types(self, kind, column):
        assert snowflake.column_of("x", kind) == column

    @pytest.mark.parametrize(
        ("table", "asked"),
        [
            ("vip", '"Crm".information_schema'),
            ("crm.marts.vip", '"Crm".information_schema'),
            ("other.marts.vip", "FROM other.information_schema"),
            ('"other db".marts.vip', '"other db".information_schema'),
            ('"a""b".marts.vip', '"a""b".information_schema'),
        ],
    )
    def test_another_database_is_found_as_snowflake_finds_plain_names(self, table, asked):
        statements = []

        class Session:
            def rows(self, statement):
                statements.append(statement)
                return [("Crm", None)] if "current_database" in statement else [("OTHER", "MARTS", "VIP")]

        there = locate("snowflake://me@acme/Crm", root=ROOT).tables(Session(), TableName.of(table))
        assert there == ([("OTHER", "MARTS", "VIP")], "Crm", ["PUBLIC"])
        assert asked in statements[-1]

    def test_a_database_that_is_not_there_is_told(self):
        class Session:
            def rows(self, _):
                return [(None, None)]

        with pytest.raises(WarehouseNotFound, match="Check the database and the role"):
            locate("snowflake://me@acme/crm", root=ROOT).tables(Session(), TableName.of("vip"))


class TestBigQuery:
    @pytest.mark.parametrize("content", [None, "hunter2"], ids=["no file", "no credentials"])
    def test_missing_credentials_are_told_by_the_variable_that_names_them(
        self, tmp_path, monkeypatch, content
    ):
        file = tmp_path / "credentials.json"
        if content is not None:
            file.write_text(content)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
        with pytest.raises(WarehouseAccessDenied, match="Check GOOGLE_APPLICATION_CREDENTIALS") as raised:
            describe("bigquery://my-project/crm")
        assert_clean(raised.value, "hunter2", str(tmp_path))

    def test_the_url_names_project_and_dataset(self):
        place = locate("bigquery://example.com:my-project/crm", root=ROOT)
        assert (place.project, place.dataset) == ("example.com:my-project", "crm")
        assert set(place.statement_options.values()) == {"example.com:my-project", "crm"}

    @pytest.mark.parametrize(
        ("kind", "form", "is_list"),
        [
            ("string", "text", False),
            ("int64", "text", False),
            ("decimal128(38, 9)", "number", False),
            ("binary", "digest", False),
            ("list<item: string>", "text", True),
            ("list<item: string not null>", "text", True),
            ("ARRAY<STRING>", "text", True),
            ("google:sqlType:json", None, False),
            ("struct<email: string>", None, False),
            ("list<item: struct<email: string>>", None, True),
            ("double", None, False),
            ("timestamp[us, tz=UTC]", None, False),
        ],
    )
    def test_types(self, kind, form, is_list):
        assert bigquery.column_of("x", kind) == Column("x", kind, form, is_list)

    def test_names_are_quoted_its_own_way(self):
        assert locate("bigquery://my-project/crm", root=ROOT).quoted("a`b\\c") == r"`a\`b\\c`"


class TestMotherDuck:
    @pytest.fixture(autouse=True)
    def _no_token(self, monkeypatch):
        for name in ("motherduck_token", "MOTHERDUCK_TOKEN"):
            monkeypatch.delenv(name, raising=False)

    def test_it_takes_a_token(self):
        with pytest.raises(WarehouseAccessDenied, match="set motherduck_token in the environment"):
            describe("md:crm")

    def test_it_is_opened_by_duckdb_with_its_extension(self, monkeypatch):
        """The name and the settings arrive where the extension takes over, which cannot be had without a network."""
        seen = {}

        def connect(name, *, read_only, config):
            seen.update(name=name, read_only=read_only, **config)
            raise duckdb.IOException("HTTP Error: hunter2")

        monkeypatch.setenv("motherduck_token", "hunter2")
        monkeypatch.setattr(duckdb, "connect", connect)
        with pytest.raises(WarehouseUnreachable, match="motherduck_token, the database") as raised:
            describe("md:crm")
        assert_clean(raised.value, "hunter2")
        assert (seen["name"], seen["read_only"]) == ("md:crm", False)
        assert seen["autoload_known_extensions"]
        assert seen["autoinstall_known_extensions"]
        assert seen["temp_directory"] == ""
