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
COUNTS = [str(2 * PEOPLE + 20), str(PEOPLE), "20"]

PROGRAM = """
import sys
from pathlib import Path

from line_ads_pipeline.identifiers import EmailRules, IfaRules, PhoneRules, identify
from line_ads_pipeline.store import Store
from line_ads_pipeline.warehouse import {kind}, Warehouse

root, name, column = Path(sys.argv[1]), *sys.argv[2:]
rules = {"email": EmailRules(), "phone": PhoneRules("JP"), "ifa": IfaRules()}[column]
with Warehouse("duckdb:///shop.duckdb", root=root) as warehouse:
    plan = identify(warehouse.scan({kind}(name), column), column, rules)
    snapshot, tally = Store(root / "store").write_snapshot("vip", plan, record_width=rules.record_width)
print(snapshot.digest, tally.rows, tally.duplicates, tally.skipped)
"""
SPELLINGS = {
    "email": (
        lambda address: address,
        str.upper,
        lambda address: f" {address}\t",
        lambda address: f"\N{IDEOGRAPHIC SPACE}{address}",
        lambda address: hashlib.sha256(address.encode()).hexdigest().upper(),
        lambda address: address.replace("@", "\N{FULLWIDTH COMMERCIAL AT}"),
    ),
    "phone": (
        lambda digits: f"0{digits[2:4]}-{digits[4:8]}-{digits[8:]}",
        lambda digits: f"+{digits}",
        lambda digits: f"+81 (0){digits[2:]}",
        lambda digits: f"\N{FULLWIDTH DIGIT ZERO}{digits[2:]}",
        lambda digits: hashlib.sha256(digits.encode()).hexdigest(),
    ),
    "ifa": (lambda ifa: ifa, str.upper, lambda ifa: f" {ifa.title()}"),
}
JUNK = {
    "email": [None, "", "nobody", "nobody@nowhere"],
    "phone": [None, "", "none", "+81 1"],
    "ifa": [None, "", "none", "00000000-0000-0000-0000-000000000000"],
}


def members_and_rows(column):
    """Each person twice, in two spellings, and some junk; and the records that this has to become, in order."""
    spellings = SPELLINGS[column]
    known = {
        "email": [f"person.{number}@example.jp" for number in range(PEOPLE)],
        "phone": [f"8190{number + 10_000_000}" for number in range(PEOPLE)],
        # of equal ids the one with the smallest bytes is kept, so the plain one is in capitals already
        "ifa": [f"ABCDEF00-0000-4000-8000-{number:012}" for number in range(PEOPLE)],
    }[column]
    rows = [
        *(spellings[0](text) for text in known),
        *(spellings[number % len(spellings)](text) for number, text in enumerate(known)),
        *JUNK[column] * 5,
    ]
    records = [text.encode() if column == "ifa" else hashlib.sha256(text.encode()).digest() for text in known]
    return sorted(records), rows


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Three sources with the same rows in three orders."""
    root = tmp_path_factory.mktemp("shop")
    columns = {column: members_and_rows(column) for column in SPELLINGS}
    frames = [
        pl.DataFrame(
            {name: random.Random(seed).sample(rows, k=len(rows)) for name, (_, rows) in columns.items()}
        )
        for seed in range(3)
    ]
    frames[0].write_parquet(root / "people.parquet", row_group_size=7_000)
    frames[1].write_csv(root / "people.csv", quote_style="non_numeric")
    people = frames[2]
    with duckdb.connect(str(root / "shop.duckdb")) as connection:
        connection.register("people", people)
        connection.execute("CREATE TABLE customers AS SELECT * FROM people")
    return root, {
        name: hashlib.sha256(b"".join(records)).hexdigest() for name, (records, _) in columns.items()
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [("FileSource", "people.parquet"), ("FileSource", "people.csv"), ("TableSource", "customers")],
)
@pytest.mark.parametrize("column", SPELLINGS)
def test_the_same_members_give_the_same_snapshot_from_each_source(shop, kind, name, column):
    root, digests = shop
    assert snapshot_of(root, kind, name, column) == [digests[column], *COUNTS]


@pytest.mark.parametrize("threads", [1, 5])
def test_the_number_of_cores_does_not_change_what_becomes_of_a_segment(shop, threads):
    root, digests = shop
    found = snapshot_of(root, "FileSource", "people.parquet", "email", threads=threads)
    assert found == [digests["email"], *COUNTS]


def snapshot_of(root, kind, name, column, *, threads=2):
    """The digest, and how many rows, duplicates and skipped rows were counted."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{kind}", kind), root, name, column],
        env=os.environ | {"POLARS_MAX_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.split()
