"""Sections as they are run, with few rows, and what they tell."""

import argparse
import re
import subprocess
import sys
import tempfile

import pytest

from benchmarks import emails, scaling, stages, start
from benchmarks.__main__ import main
from benchmarks.harness import MEBIBYTE, Measured, race, rates, table


def took(wall, *, cpu=None, peak=100, found=None):
    return Measured(
        wall=wall,
        cpu=wall if cpu is None else cpu,
        startup_cpu=0,
        peak_bytes=peak * MEBIBYTE,
        found=found,
    )


def test_a_table_of_rates():
    header, *rows = rates({"slow": took(4, cpu=8), "quick": took(0.5)}, what="1,000 rows", rows=1000)
    assert table(header, rows) == (
        "| 1,000 rows | wall s | rows a second | CPU s | peak MiB |\n"
        "| ---------- | -----: | ------------: | ----: | -------: |\n"
        "| slow       |   4.00 |           250 |  8.00 |      100 |\n"
        "| quick      |   0.50 |         2,000 |  0.50 |      100 |"
    )


def test_a_sample_is_scaled_in_time_but_not_in_memory():
    assert took(2, cpu=3, found={"members": 1}).scaled(10) == took(20, cpu=30, found={"members": 1})


def told_of_emails(**changed):
    measured = {
        emails.PIPELINE: took(4, found={"members": 900, "digest": "d" * 64, "duplicates": 50}),
        emails.LOOP: took(22, found={"members": 950}),
        emails.SQL: took(7, found={"members": 900, "digest": "d" * 64}),
        emails.CAREFUL: took(50, found={"members": 900, "digest": "d" * 64}),
    }
    return emails.told(
        measured,
        **({"rows": 1000, "looped": 1000, "hashed": 800, "hashed_bytes": 23, "limit": 1000.0} | changed),
    )


def test_emails_tell_each_ratio_with_its_goal():
    told = told_of_emails()
    assert "**5.50** times as fast as the plain loop (goal 5, at least 3.5)" in told
    assert "**1.75** times as fast as DuckDB (goal 1.5, at least 1.2)" in told
    assert "**20%** of what `openssl speed`" in told
    assert "23 bytes at a time" in told
    assert "| openssl speed: SHA-256 alone |   0.80 |         1,000 |" in told
    assert "scaled" not in told


def test_emails_say_what_was_scaled_and_that_openssl_is_not_there():
    told = told_of_emails(looped=100, limit=None)
    assert "over the first 100 rows" in told
    assert "There is no OpenSSL here" in told
    assert "%" not in told


def test_stages_are_differences_and_the_largest_is_the_next_limit():
    read, normalised, hashed = stages.PLANS
    told = stages.told(
        {
            read: took(1),
            normalised: took(3),
            hashed: took(8),
            stages.MERGE: took(10, found={"cpu": 0.9, "wall": 0.85}),
        },
        rows=1000,
    )
    figures = {
        name.strip(): row.split() for name, row in re.findall(r"^\| (.+?) +\| (.+) \|$", told, re.MULTILINE)
    }
    assert figures[hashed] == ["5.00", "|", "50%", "|", "5.00", "|", "50%"]
    assert figures[stages.SPREAD] == ["1.00", "|", "10%", "|", "0.50", "|", "5%"]
    assert figures[stages.MERGE] == ["1.00", "|", "10%", "|", "1.50", "|", "15%"]
    assert f"The next limit is “{hashed}” with **50%** of the CPU time, and on the clock too" in told


SIZES = {1_000: took(0.5), 3_000: took(0.6), 10_000: took(1), 30_000: took(3), 100_000: took(11, peak=900)}


def test_scaling_compares_the_largest_with_a_tenth_of_it():
    told = scaling.told(SIZES)
    assert "100,000 rows take **11.0** times as long as 10,000" in told
    assert "at most **900 MiB**" in told


def test_the_plot_is_small_the_same_each_time_and_names_nothing(tmp_path):
    one, two, other = (tmp_path / name for name in ("one.svg", "two.svg", "other.svg"))
    scaling.plot(SIZES, one)
    scaling.plot(SIZES, two)
    scaling.plot(SIZES | {100_000: took(12)}, other)
    assert one.read_bytes() == two.read_bytes() != other.read_bytes()
    text = one.read_text()
    assert len(text) < 60_000
    assert "Peak memory" in text
    assert not re.search(r"matplotlib v|dc:date|dc:creator|/home|/root|/tmp", text, re.IGNORECASE)


def test_a_command_that_fails_ends_the_benchmark():
    cpu, wall = start.measure([sys.executable, "-c", "sum(range(10**6))"])
    assert cpu > 0
    assert wall > 0
    with pytest.raises(subprocess.CalledProcessError):
        start.measure([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_contender_may_be_in_another_module(people):
    measured = race(
        {"loop": ["benchmarks.loops.plain_ifas", str(people("ifa")), "1000"]}, section="none", rounds=1
    )
    assert measured["loop"].found["members"] > 800
    assert measured["loop"].peak_bytes > 10 * MEBIBYTE


def test_emails_from_data_to_words(tmp_path, monkeypatch):
    monkeypatch.setattr(emails, "OPENSSL_SECONDS", 1)
    told = emails.run(argparse.Namespace(rows=2000, rounds=1, folder=tmp_path))
    for name in (emails.PIPELINE, emails.LOOP, emails.SQL, emails.CAREFUL):
        assert f"| {name} " in told
    assert [path.name for path in tmp_path.iterdir()] == ["email-2000.parquet"]


def test_results_keep_the_sections_that_did_not_run(tmp_path, monkeypatch):
    results = tmp_path / "RESULTS.md"
    results.write_text(
        f"# Results\n\nOld words.\n\n## {start.TITLE}\n\nslow\n\n## {emails.TITLE}\n\nkept\n\n## Gone\n\nlong ago\n"
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    main(["start", "stages", "--rows", "3000", "--rounds", "1", "--results", str(results)])
    text = results.read_text()
    assert re.findall("^## (.+)", text, re.MULTILINE) == [emails.TITLE, stages.TITLE, start.TITLE]
    assert "\nkept\n" in text
    assert "slow" not in text
    assert "polars" in text
    assert [path.name for path in tmp_path.iterdir()] == ["RESULTS.md"]


def test_an_unknown_section_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["emales"])
    assert "there is no section emales" in capsys.readouterr().err
