"""The data that benchmarks make: always the same, and messy in every way that it says."""

import hashlib
import os
import subprocess
import sys

import polars as pl
import pytest

import benchmarks.people
from benchmarks.people import write_people
from benchmarks.pipeline import RULES
from line_ads_pipeline.identifiers import identify

KINDS = ["email", "phone", "ifa"]

HASHED_IN_A_PROCESS = """
import hashlib, sys
from pathlib import Path
from benchmarks.people import write_people
for kind in ("email", "phone", "ifa"):
    path = write_people(kind, Path(sys.argv[1]), rows=20_000)
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_the_data_is_the_same_in_every_process_with_any_number_of_threads(people, tmp_path):
    expected = [hashlib.sha256(people(kind).read_bytes()).hexdigest() for kind in KINDS]
    ended = subprocess.run(
        [sys.executable, "-c", HASHED_IN_A_PROCESS, tmp_path],
        env={**os.environ, "POLARS_MAX_THREADS": "1" if pl.thread_pool_size() > 1 else "3"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert ended.stdout.split() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_matter_and_the_first_rows_are_those_of_a_shorter_file(
    kind, people, tmp_path, monkeypatch
):
    expected = pl.read_parquet(people(kind)).head(5000)
    monkeypatch.setattr(benchmarks.people, "_BATCH_ROWS", 999)
    shorter = pl.read_parquet(write_people(kind, tmp_path, rows=5000))
    assert shorter.shape == (5000, 1)
    assert shorter.equals(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_there_is_not_made_again(kind, tmp_path):
    path = write_people(kind, tmp_path, rows=10)
    before = path.stat()
    assert write_people(kind, tmp_path, rows=10) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        (
            "email",
            "hashed already_hashed null blank hash_of_empty_string unknown_hash not_an_email_address non_ascii too_long",
        ),
        ("phone", "hashed null blank not_a_phone_number invalid_number"),
        ("ifa", "as_is null blank not_an_ifa all_zero_ifa"),
    ],
)
def test_what_becomes_of_rows(kind, outcomes, people):
    """Every way of being skipped is there, most rows are not, and some people are there twice."""
    identified = identify(pl.scan_parquet(people(kind)), kind, RULES[kind]).collect()
    assert set(identified["outcome"].unique()) == set(outcomes.split())
    members = identified["identifier"].drop_nulls()
    assert len(members) > 0.9 * len(identified)
    assert 0.03 < 1 - members.n_unique() / len(members) < 0.07


def test_addresses_are_clean_for_the_most_part_and_of_the_usual_length(people):
    addresses = pl.read_parquet(people("email"))["email"]
    clean = addresses.drop_nulls().str.contains(r"^[a-z0-9._-]+@[a-z.]+$").sum()
    assert 0.77 < clean / len(addresses) < 0.85
    assert 22 < addresses.str.len_bytes().mean() < 26


def test_every_address_is_at_a_domain_kept_for_examples(people):
    domains = pl.read_parquet(people("email"))["email"].str.extract(r"@([a-z.]+?)\.?$").drop_nulls().unique()
    assert len(domains) >= 6
    assert domains.str.contains(r"^(?:mail\.)?example\.(?:jp|co\.jp|com|net|org)$|^localhost$").all()
