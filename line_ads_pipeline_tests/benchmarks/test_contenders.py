"""Contenders that follow the same rules find the same members, so that only their speed differs."""

import hashlib

import polars as pl
import pyarrow.parquet as pq
import pytest

from benchmarks.careful import careful_emails
from benchmarks.emails import check_same
from benchmarks.harness import Measured, Stopwatch
from benchmarks.loops import batches_of, library_phones, plain_emails, plain_ifas
from benchmarks.phones import count_left_open
from benchmarks.pipeline import digest_of, hash_people
from benchmarks.sql import duckdb_emails

ROWS = "20000"


@pytest.fixture
def pipeline(people):
    def found(kind):
        return hash_people(Stopwatch(), kind, str(people(kind)))

    return found


def measured(**found):
    return Measured(wall=1, cpu=1, startup_cpu=0, peak_bytes=1, found=found)


def test_the_loop_and_duckdb_find_the_members_of_the_pipeline(people, pipeline):
    expected = pipeline("email")
    path = str(people("email"))
    by_loop = careful_emails(Stopwatch(), path, ROWS)
    by_sql = duckdb_emails(Stopwatch(), path)
    assert by_loop == by_sql == {name: expected[name] for name in ("members", "digest")}


def test_members_are_told_apart_by_the_digest_of_all_of_them(tmp_path):
    members = sorted(hashlib.sha256(str(number).encode()).digest() for number in range(100))
    told = digest_of(pl.LazyFrame({"identifier": members[::-1]}), tmp_path)
    assert told == hashlib.sha256(b"".join(members)).hexdigest()
    assert digest_of(pl.LazyFrame({"identifier": members[1:]}), tmp_path) != told


@pytest.mark.parametrize(
    "found", [{"members": 2, "digest": "b"}, {"members": 3, "digest": "a"}], ids=["digest", "count"]
)
def test_other_members_end_the_benchmark(found):
    one = measured(members=2, digest="a")
    check_same({"one": one, "same": one})
    with pytest.raises(ValueError, match="other found"):
        check_same({"one": one, "same": one, "other": measured(**found)})


def test_the_plain_loop_hashes_whatever_is_not_null(people):
    values = pq.read_table(people("email"))["email"].to_pylist()
    expected = {value.strip().lower() for value in values if value is not None}
    assert plain_emails(Stopwatch(), str(people("email")), ROWS) == {"members": len(expected)}


def test_the_loop_over_mobile_ad_ids_finds_as_many_as_the_pipeline(people, pipeline):
    assert plain_ifas(Stopwatch(), str(people("ifa")), ROWS) == {"members": pipeline("ifa")["members"]}


def test_the_loop_over_phonenumbers_finds_nearly_the_members_of_the_pipeline(people, pipeline):
    """Nearly, for it takes no pains with what is written around a number."""
    by_loop = library_phones(Stopwatch(), str(people("phone")), ROWS)
    assert by_loop["members"] == pytest.approx(pipeline("phone")["members"], rel=0.02)


def test_numbers_that_reach_the_library_are_counted(people, pipeline):
    counted = count_left_open(Stopwatch(), str(people("phone")))
    assert counted["digest"] == pipeline("phone")["digest"]
    phones = pl.read_parquet(people("phone"))["phone"].drop_nulls()
    assert counted["written"] == (phones.str.strip_chars() != "").sum()
    assert 0 < counted["left_open"] < 0.1 * counted["written"]


@pytest.mark.parametrize("rows", [1, 65_536, 65_537, 70_000])
def test_a_loop_ends_after_the_rows_asked_for(rows, tmp_path):
    path = tmp_path / "people.parquet"
    pl.DataFrame({"email": map(str, range(70_000))}).write_parquet(path)
    seen = [value for values in batches_of(str(path), rows) for value in values]
    assert seen == list(map(str, range(rows)))
