"""`:run_date` in a query becomes a date where it is a parameter, and nowhere else."""

import re

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_ads_pipeline.warehouse import QueryFailed, QuerySource, Warehouse
from line_ads_pipeline.warehouse.bigquery import BigQuery
from line_ads_pipeline.warehouse.postgresql import PostgreSQL
from line_ads_pipeline.warehouse.run_date import with_run_date
from line_ads_pipeline.warehouse.snowflake import Snowflake
from line_ads_pipeline.warehouse.sql_text import one_select
from line_ads_pipeline.warehouse.sqlite import SQLite

DAY = "2026-11-22"
LEXES = {kind.name: kind.lexis for kind in (PostgreSQL, SQLite, Snowflake, BigQuery)}
any_lexis = pytest.mark.parametrize("lexis", LEXES.values(), ids=LEXES.keys())
PIECES = st.lists(
    st.sampled_from(
        [
            *[
                "'",
                '"',
                "`",
                "$$",
                "$a$",
                "--",
                "\n",
                "/*",
                "*/",
                "#",
                "//",
                "\\",
                "[",
                "]",
                ":",
                "::",
                "E'",
                "'''",
            ],
            *["run_date", ":run_date", "1", ";", "(", ")", ",", "顧客", "''", "ARRAY", "?", "$1", "x", " "],
        ]
    )
).map("".join)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM t WHERE day = {}",
        "SELECT * FROM t WHERE day={}",
        "SELECT * FROM t WHERE day BETWEEN {} - 7 AND {}",
        "SELECT f({}, x)",
        "SELECT ARRAY [{}, 1]",
        "SELECT ',', {} -- :run_date\n, {}",
        "SELECT profile ? 'a', {}",
        "{}",
    ],
)
@pytest.mark.parametrize("lexis", [PostgreSQL.lexis, Snowflake.lexis, BigQuery.lexis])
def test_a_parameter_becomes_a_date(query, lexis):
    assert with_run_date(query.replace("{}", ":run_date"), DAY, lexis=lexis) == query.replace(
        "{}", f"DATE '{DAY}'"
    )
    assert with_run_date(query.replace("{}", ":Run_DATE"), DAY, lexis=lexis) == with_run_date(
        query.replace("{}", ":run_date"), DAY, lexis=lexis
    )


@pytest.mark.parametrize(
    "query",
    [
        "SELECT :rundate",
        "SELECT x FROM t WHERE day = :run_dates",
        "SELECT f(1,:day) FROM t",
        "SELECT f(:run_date, :day)",
        "SELECT x FROM t WHERE day > /* here */ :day AND y",
        "SELECT ? AS email",
        "SELECT x FROM t WHERE a=?",
        "SELECT x FROM t WHERE a BETWEEN ? AND ?",
        "SELECT x FROM t WHERE a IN (?, 1)",
    ],
)
@any_lexis
def test_another_parameter_is_refused(query, lexis):
    with pytest.raises(QueryFailed, match=r"has parameters .* :run_date is the run date"):
        with_run_date(query, DAY, lexis=lexis)


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("PostgreSQL", "SELECT ':run_date', 'it''s :run_date'"),
        ("PostgreSQL", r"SELECT E'\':run_date', e'\\\' :run_date'"),
        ("PostgreSQL", 'SELECT ":run_date", " "" :run_date"'),
        ("PostgreSQL", "SELECT $$ :run_date $$, $a$ $$ :run_date $a$"),
        ("PostgreSQL", "SELECT 1 -- :run_date\n/* :run_date /* x */ :run_date */"),
        ("PostgreSQL", "SELECT x::run_date, x :: run_date"),
        ("PostgreSQL", "SELECT a[1:run_date], a[:run_date], a[i :run_date], f(x)[:run_date]"),
        ("PostgreSQL", "SELECT : run_date, x := :other, a[(1):n], a[1:-:n], a[:n], a[1 : n]"),
        ("PostgreSQL", "SELECT a ? 'b', a ?| array['b'], (a) ?& b, a @? '$.b', ?- c, ?| c, a ?-| b, a ?# b"),
        ("PostgreSQL", "SELECT x =? y, ':day', \"a ? b\", '(?)' -- = :day ?\n"),
        ("Snowflake", "SELECT p:in:day, p :a, $1:a, f(p):a, p[0]:a, p:a::date FROM t"),
        ("SQLite", "SELECT [?], [a = :day]"),
        ("Snowflake", "SELECT profile:run_date, t.profile:run_date.x, \"P\":run_date, p['a']:run_date"),
        ("Snowflake", r"SELECT 'it\'s :run_date', $$ :run_date $$ // :run_date"),
        ("BigQuery", "SELECT \"a :run_date\", `x:run_date`, ''' ' :run_date ''' # :run_date"),
        ("BigQuery", r"""SELECT r'\' :run_date', "\" :run_date" """),
        ("SQLite", "SELECT [a:run_date], [ :run_date ], `:run_date`"),
        ("PostgreSQL", "SELECT 'never closed :run_date"),
        ("PostgreSQL", "SELECT /* never closed :run_date"),
        ("PostgreSQL", "SELECT $a$ never closed :run_date $b$"),
    ],
)
def test_what_is_no_parameter_stays_as_it_is(kind, query):
    assert with_run_date(query, DAY, lexis=LEXES[kind]) == query
    assert with_run_date(query, None, lexis=LEXES[kind]) == query


def test_a_date_of_sqlite_is_text():
    query = "SELECT [a], date(:run_date) FROM t WHERE x=:run_date"
    dated = with_run_date(query, DAY, lexis=SQLite.lexis, literal=SQLite.date_literal)
    assert dated == query.replace(":run_date", f"'{DAY}'")


@pytest.mark.parametrize(
    "run_date",
    [
        "",
        "2026-11-22'",
        "2026-11-2",
        "20261122",
        "2026-W47-7",
        "2026-02-30",
        "２０２６-11-22",
        "2026-11-22\n",
        "now",
    ],
)
def test_nothing_but_a_day_is_ever_put_in(run_date):
    with pytest.raises(QueryFailed, match="YYYY-MM-DD") as raised:
        with_run_date("SELECT :run_date", run_date, lexis=LEXES["PostgreSQL"])
    assert raised.value.__context__ is None


def test_a_parameter_needs_a_run_date():
    with pytest.raises(QueryFailed, match="no run date"):
        with_run_date("SELECT :run_date", None, lexis=LEXES["PostgreSQL"])


@any_lexis
@given(sql=PIECES)
def test_the_tokens_together_are_the_text(lexis, sql):
    assert "".join(token.text for token in lexis.tokens(sql)) == sql
    assert all(token.text for token in lexis.tokens(sql))


@any_lexis
@given(sql=PIECES)
def test_what_is_not_a_parameter_is_never_changed(lexis, sql):
    try:
        dated = with_run_date(sql, DAY, lexis=lexis)
    except QueryFailed:
        assert re.search(r":\w|\?", sql)
        return
    assert dated.replace(f"DATE '{DAY}'", ":run_date") == sql
    assert len(dated) - len(sql) <= sql.count(":run_date") * 8


@given(text=st.text(alphabet=st.sampled_from("ab:' \\\n$-/*\"[]run_date:")))
def test_a_literal_is_never_changed(text):
    quoted = "'" + text.replace("'", "''") + ":run_date'"
    query = f"SELECT {quoted} AS a, :run_date AS b"
    dated = with_run_date(query, DAY, lexis=LEXES["SQLite"])
    assert dated == f"SELECT {quoted} AS a, DATE '{DAY}' AS b"
    assert duckdb.sql(dated).limit(1).fetchall()[0][0] == text + ":run_date"


@any_lexis
@given(sql=PIECES)
def test_a_query_that_is_let_through_cannot_leave_its_parentheses(lexis, sql):
    try:
        body = one_select(f"SELECT {sql}", lexis)
    except QueryFailed:
        return
    depth = 0
    for token in lexis.tokens(f"(\n{body}\n)"):
        assert token.kind != "open"
        if token.kind == "mark":
            assert token.text != ";"
            depth += token.text.count("(") - token.text.count(")")
    assert depth == 0


def test_duckdb_takes_it_too(tmp_path):
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT DATE '2026-11-21' AS day, 'ann@example.jp' AS email")
    query = "SELECT email, ':run_date' AS x FROM t WHERE day = :run_date - 1"
    with Warehouse("duckdb:///shop.duckdb", root=tmp_path) as warehouse:
        for day, rows in ((DAY, 1), ("2026-11-23", 0)):
            source = QuerySource(query, day)
            assert warehouse.describe(source, identifier_columns=["email"]).row_count == rows
        with pytest.raises(QueryFailed, match="no run date"):
            warehouse.describe(QuerySource(query), identifier_columns=["email"])
