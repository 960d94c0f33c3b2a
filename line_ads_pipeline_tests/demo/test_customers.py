"""The made-up customers are the same every time, as messy as promised, and nobody's."""

import hashlib
import re
from collections import Counter
from itertools import islice

import duckdb
import polars as pl
import pytest

from line_ads_pipeline.demo.customers import JUNK, SPELLINGS, make_customers
from line_ads_pipeline.demo.warehouse import write_warehouse
from line_ads_pipeline.identifiers import EmailRules, identify

KEPT_FOR_EXAMPLES = re.compile(r"(^|\.)(example|example\.(com|net|org|jp|co\.jp))$")


@pytest.fixture(scope="module")
def customers():
    return list(make_customers(20_000))


def test_the_same_seed_makes_the_same_customers(customers):
    assert list(islice(make_customers(20_000), 500)) == customers[:500]
    assert [customer.email for customer in make_customers(500, seed=2)] != [
        customer.email for customer in customers[:500]
    ]


def test_every_kind_of_mess_is_there(customers):
    kinds = Counter(customer.kind for customer in customers)

    assert set(kinds) == {*SPELLINGS, *JUNK}
    assert kinds["clean"] > len(customers) / 2


def test_every_country_is_there(customers):
    assert {customer.country for customer in customers} == {"JP", "TH", "TW", "ID"}


def test_the_pipeline_makes_of_each_row_what_its_maker_expects(customers):
    rows = pl.LazyFrame({"email": [customer.email for customer in customers]})
    made = identify(rows, "email", EmailRules()).collect()

    differing = [
        (customer.kind, customer.email, outcome)
        for customer, identifier, outcome in zip(customers, made["identifier"], made["outcome"], strict=True)
        if (identifier and identifier.hex(), outcome) != (customer.identifier, customer.outcome)
    ]
    assert differing == []


def test_people_are_there_again_in_other_spellings(customers):
    spellings: dict[str, set[str]] = {}
    for customer in customers:
        if customer.identifier is not None:
            spellings.setdefault(customer.identifier, set()).add(customer.kind)

    assert sum(len(kinds) > 1 for kinds in spellings.values()) > 100


def test_expected_hashes_are_of_the_clean_address(customers):
    clean = [customer for customer in customers if customer.kind == "clean"]

    assert clean
    assert all(
        hashlib.sha256(customer.email.encode()).hexdigest() == customer.identifier for customer in clean
    )


def test_addresses_are_of_domains_kept_for_examples(customers):
    domains = {customer.email.rpartition("@")[2] for customer in customers if customer.kind == "clean"}

    assert len(domains) > 5
    assert [domain for domain in domains if not KEPT_FOR_EXAMPLES.search(domain)] == []


def test_the_warehouse_holds_the_rows_and_not_what_is_expected_of_them(customers, tmp_path):
    path = tmp_path / "made" / "warehouse.duckdb"
    write_warehouse(path, customers[:100])
    write_warehouse(path, customers[:1000])

    with duckdb.connect(str(path), read_only=True) as connection:
        table = connection.sql("SELECT * FROM marts.vip_customers ORDER BY customer_id")
        assert table.columns == ["customer_id", "name", "country", "email", "phone", "orders", "updated_at"]
        rows = table.fetchall()
    assert [row[3] for row in rows] == [customer.email for customer in customers[:1000]]
    assert [path.name for path in path.parent.iterdir()] == ["warehouse.duckdb"]
