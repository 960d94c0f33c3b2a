"""The example of an agency, in `docs/agency`: two clients with warehouses, keys and ad accounts of their own."""

import hashlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import httpx
import polars as pl
import pytest

from line_ads_pipeline.simulator import Simulator

EXAMPLE = Path(__file__).parents[1] / "docs" / "agency"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def tea_house(cluster, monkeypatch):
    """What LINE holds for the tea house, whose customers are in PostgreSQL."""
    cluster.run(
        "DROP SCHEMA IF EXISTS marts CASCADE",
        "CREATE SCHEMA marts",
        "CREATE TABLE marts.customers (email text, last_order_at date)",
        "CREATE TABLE marts.opted_out (email text)",
        "INSERT INTO marts.customers VALUES ('mei@example.tw', '2999-01-01'), ('long.ago@example.tw', '2000-01-01'), "
        "('no.ads@example.tw', '2999-01-01')",
        "INSERT INTO marts.opted_out VALUES ('No.Ads@example.tw')",
    )
    monkeypatch.setenv("TEA_HOUSE_WAREHOUSE_URL", cluster.url)
    with line_of("TEA_HOUSE", monkeypatch) as line:
        yield line
    cluster.run("DROP SCHEMA marts CASCADE")


@pytest.fixture
def surf_shop(s3, s3_server, monkeypatch):  # noqa: ARG001 - s3 sets what reaches the server
    """What LINE holds for the surf shop, whose users are in files in S3."""
    httpx.put(f"{s3_server}/surf-shop-exports").raise_for_status()
    for number, mobile in enumerate(["081-234-5678", "+66 89 123 4567"]):
        file = io.BytesIO()
        pl.DataFrame({"mobile": [mobile]}).write_parquet(file)
        httpx.put(
            f"{s3_server}/surf-shop-exports/app_users/{number}.parquet", content=file.getvalue()
        ).raise_for_status()
    with line_of("SURF_SHOP", monkeypatch) as line:
        yield line


@contextmanager
def line_of(client, monkeypatch):
    """A LINE that knows this client's keys only."""
    keys = {"access_key": f"{client}-access", "secret_key": f"{client}-secret"}
    with Simulator(**keys, requests_per_second_limit=None) as line:
        monkeypatch.setenv(f"{client}_LINE_ADS_ACCESS_KEY", keys["access_key"])
        monkeypatch.setenv(f"{client}_LINE_ADS_SECRET_KEY", keys["secret_key"])
        monkeypatch.setenv(f"{client}_LINE_ADS_BASE_URL", line.base_url)
        yield line


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the example, without this machine's settings."""
    for name in [name for name in os.environ if name.startswith(("LINE_ADS_", "WAREHOUSE_"))]:
        monkeypatch.delenv(name)
    shutil.copytree(EXAMPLE, tmp_path / "agency")
    monkeypatch.syspath_prepend(str(tmp_path / "agency"))
    yield tmp_path / "agency"
    for loaded in [name for name in sys.modules if name.partition(".")[0] == "agency_audiences"]:
        del sys.modules[loaded]


def test_each_client_s_audience_is_made_of_its_own_data_with_its_own_keys(project, tea_house, surf_shop):
    definitions = importlib.import_module("agency_audiences.definitions").defs()
    with dg.DagsterInstance.local_temp(str(project)) as instance:
        for name in ("tea_house_regulars", "surf_shop_app_users"):
            job = definitions.resolve_job_def(f"sync_{name}")
            assert job.execute_in_process(
                partition_key=job.partitions_def.get_last_partition_key(), instance=instance
            ).success

    [regulars], [users] = tea_house.audiences(), surf_shop.audiences()
    assert (regulars.name, users.name) == ("Regulars of the tea house", "App users of the surf shop")
    assert tea_house.members(regulars.id) == {sha256("mei@example.tw")}
    assert surf_shop.members(users.id) == {sha256("66812345678"), sha256("66891234567")}
    assert not tea_house.broken_rules
    assert not surf_shop.broken_rules


def test_its_readmes_check_finds_both_clients_from_the_project_s_folder(project):
    """Without keys and data it says for each audience what is missing, and shows no password."""
    settings = {"TEA_HOUSE_WAREHOUSE_URL": "postgresql://reader:sentinel-password@127.0.0.1:1/marts"}
    done = subprocess.run(
        [Path(sys.executable).with_name("line-ads"), "check", "-m", "agency_audiences.definitions", "--json"],
        cwd=project,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    failed = {
        finding["subject"]: finding["remedy"]
        for finding in json.loads(done.stdout)["checks"]
        if finding["topic"] == "source"
    }
    assert set(failed) == {"tea_house_regulars", "surf_shop_app_users"}
    assert "PostgreSQL cannot be connected to: nothing listens there" in failed["tea_house_regulars"]
    assert "sentinel-password" not in done.stdout + done.stderr


def test_the_example_names_what_its_readme_says(project):
    """Its files, its resources and its environment variables."""
    text = (project / "README.md").read_text()
    code = (project / "agency_audiences" / "defs" / "resources.py").read_text()
    shown = re.findall(r"^([\w/.]+\.(?:py|toml|yaml)) ", text, re.MULTILINE)
    there = [
        path.relative_to(project).as_posix() for path in project.rglob("*.*") if path.name != "README.md"
    ]
    assert sorted(shown) == sorted(path for path in there if "__pycache__" not in path)
    for variable in ("LINE_ADS_ACCESS_KEY", "LINE_ADS_SECRET_KEY", "WAREHOUSE_URL"):
        assert f"_{variable}" in code
        assert f"`TEA_HOUSE_{variable}`" in text
