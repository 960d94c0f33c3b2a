"""`line-ads audiences` shows what LINE holds."""

import json
from datetime import UTC, datetime

import pytest


@pytest.fixture
def held(simulator):
    """Two audiences, the ids from the older to the newer."""
    return [
        simulator.add_audience(
            "A10000000001",
            name="Fans [bold]of[/] 山田",
            members=[f"{number:064x}" for number in range(1234)],
            created=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        ),
        simulator.add_audience(
            "A10000000001",
            name="Broken",
            function_type="UPLOAD",
            status="FAILED",
            failed_type="INTERNAL_ERROR",
            created=datetime(2026, 4, 1, tzinfo=UTC),
        ),
    ]


def test_a_line_for_each_audience(connected, held, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    result = connected("audiences", "A10000000001")

    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if "530000" in line]
    words = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert words == [
        [held[1], "Broken", "UPLOAD", "FAILED (INTERNAL_ERROR)", "-", "2026-04-01 00:00"],
        [held[0], "Fans [bold]of[/] 山田", "HASHED_EMAIL_UPLOAD", "READY", "1,234", "2026-03-01 12:30"],
    ]


def test_json_is_for_scripts(connected, held):
    result = connected("audiences", "A10000000001", "--json")

    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["ad_account_id"] == "A10000000001"
    assert [audience["id"] for audience in document["audiences"]] == held[::-1]
    assert document["audiences"][1] == {
        "id": held[0],
        "name": "Fans [bold]of[/] 山田",
        "function_type": "HASHED_EMAIL_UPLOAD",
        "status": "READY",
        "failed_type": None,
        "estimated_size": 1234,
        "estimated_size_text": "1234",
        "created": "2026-03-01T12:30:00+00:00",
    }


@pytest.mark.usefixtures("held")
def test_it_only_reads(connected, simulator):
    connected("audiences", "A10000000001")

    assert {request.method for request in simulator.requests} == {"GET"}
    assert simulator.broken_rules == ()


def test_an_ad_account_without_audiences(connected):
    result = connected("audiences", "A10000000002")

    assert (result.exit_code, result.stdout) == (0, "The ad account A10000000002 holds no custom audience.\n")


def test_an_ad_account_that_the_key_may_not_use(connected):
    result = connected("audiences", "A19999999999")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ad account A19999999999 not found")
    assert len(result.stderr.splitlines()) == 1


def test_wrong_keys(connected, monkeypatch):
    monkeypatch.setenv("LINE_ADS_SECRET_KEY", "a-wrong-secret")
    result = connected("audiences", "A10000000001")

    assert result.exit_code == 1
    assert "authentication failed" in result.stderr
    assert "a-wrong-secret" not in result.output


def test_no_keys(line_ads):
    result = line_ads("audiences", "A10000000001")

    assert result.exit_code == 1
    assert "LINE_ADS_ACCESS_KEY" in result.stderr


@pytest.mark.parametrize("typed", [(), ("A10000000001", "A10000000002"), (" ",), ("A1", "--jsn")])
def test_mistakes_of_typing(typed, connected):
    assert connected("audiences", *typed).exit_code == 2
