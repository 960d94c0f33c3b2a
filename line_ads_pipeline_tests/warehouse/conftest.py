from pathlib import Path

import duckdb
import obstore
import pytest

from line_ads_pipeline.object_stores import connect
from line_ads_pipeline.warehouse import Warehouse

_SCHEMA = """
CREATE SCHEMA marts;
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE marts.vip_customers AS SELECT * REPLACE (tier::ENUM('gold', 'it''s), blue') AS tier, colour::colour AS colour) FROM (VALUES
    (1, 'ann@example.jp', 819012345678::BIGINT, '0b3c3f6e-3a3f-4c55-9d0e-0c4b1f0a6d11'::UUID, 'gold', 'red',
     TIMESTAMP '2026-01-01 10:00:00', TIMESTAMPTZ '2026-01-01 10:00:00+09'),
    (2, '', NULL, NULL, NULL, NULL, TIMESTAMP '2026-01-03 10:00:00', NULL),
    (3, NULL, 819087654321, NULL, 'it''s), blue', NULL, NULL, NULL)
) t(id, email, phone, ifa, tier, colour, updated_at, seen_at);
CREATE TABLE marts.vip_orders (id INTEGER);
CREATE TABLE plain (Email VARCHAR);
CREATE TABLE "odd "" na.me 顧客" (email VARCHAR);
INSERT INTO "odd "" na.me 顧客" VALUES ('odd@example.jp');
CREATE TABLE empty_table (email VARCHAR, updated_at TIMESTAMP);
CREATE TABLE old (email VARCHAR);
CREATE VIEW stale AS SELECT email FROM old;
DROP TABLE old;
"""


@pytest.fixture
def database(tmp_path) -> Path:
    path = tmp_path / "data" / "shop.duckdb"
    path.parent.mkdir()
    with duckdb.connect(str(path)) as connection:
        connection.execute(_SCHEMA)
    return path


@pytest.fixture
def warehouse(database, tmp_path):  # noqa: ARG001 - the file at the URL
    with Warehouse("duckdb:///data/shop.duckdb", root=tmp_path) as warehouse:
        yield warehouse


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def files(tmp_path):
    """A warehouse for files alone: its database does not exist."""
    with Warehouse("duckdb:///absent.duckdb", root=tmp_path) as warehouse:
        yield warehouse


@pytest.fixture
def put(s3):
    """Puts an object into the bucket and gives its URL."""
    store = connect(s3)

    def put(content, name):
        obstore.put(store, name, content)
        return f"{s3}/{name}"

    return put
