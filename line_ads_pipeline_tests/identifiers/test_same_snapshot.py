"""The same members give the same snapshot, from whatever source, in whatever order, on however many cores."""

import hashlib
import os
import random
import subprocess
import sys

import duckdb
import polars as pl
import pytest

PEOPLE = 30_000

PROGRAM = """
import sys
from pathlib import Path

from line_ads_pipeline.identifiers import EmailRules, identify
from line_ads_pipeline.store import Store
from line_ads_pipeline.warehouse import {kind}, Warehouse

root = Path(sys.argv[1])
with Warehouse("duckdb:///shop.duckdb", root=root) as warehouse:
    plan = identify(warehouse.scan({kind}(sys.argv[2]), "email"), "email", EmailRules())
    snapshot, tally = Store(root / "store").write_snapshot("vip", plan, record_width=32)
print(snapshot.digest, tally.rows, tally.duplicates, tally.skipped)
"""
SPELLINGS = (
    lambda address: address,
    str.upper,
    lambda address: f" {address}\t",
    lambda address: f"\N{IDEOGRAPHIC SPACE}{address}",
    lambda address: hashlib.sha256(address.encode()).hexdigest().upper(),
    lambda address: address.replace("@", "\N{FULLWIDTH COMMERCIAL AT}"),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Each person twice, in two spellings, and some junk; in three sources of three orders."""
    addresses = [f"person.{number}@example.jp" for number in range(PEOPLE)]
    rows = [
        *addresses,
        *(SPELLINGS[number % len(SPELLINGS)](address) for number, address in enumerate(addresses)),
        *[None, "", "nobody", "nobody@nowhere"] * 5,
    ]
    root = tmp_path_factory.mktemp("shop")
    shuffled = [random.Random(seed).sample(rows, k=len(rows)) for seed in range(3)]
    frames = [pl.DataFrame({"email": column}) for column in shuffled]
    frames[0].write_parquet(root / "people.parquet", row_group_size=7_000)
    frames[1].write_csv(root / "people.csv", quote_style="non_numeric")
    people = frames[2]
    with duckdb.connect(str(root / "shop.duckdb")) as connection:
        connection.register("people", people)
        connection.execute("CREATE TABLE customers AS SELECT * FROM people")
    members = sorted(hashlib.sha256(address.encode()).digest() for address in addresses)
    return root, hashlib.sha256(b"".join(members)).hexdigest()


@pytest.mark.parametrize("threads", ["1", "2", "5"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("FileSource", "people.parquet"), ("FileSource", "people.csv"), ("TableSource", "customers")],
)
def test_the_same_members_give_the_same_snapshot(shop, kind, name, threads):
    root, digest = shop
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{kind}", kind), root, name],
        env=os.environ | {"POLARS_MAX_THREADS": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == [digest, str(2 * PEOPLE + 20), str(PEOPLE), "20"]
