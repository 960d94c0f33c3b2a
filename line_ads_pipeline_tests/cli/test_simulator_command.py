"""`line-ads simulator`, and the command as a whole, as processes of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from line_ads_pipeline.line_ads import AuthenticationFailed, LineAdsClient, PermissionDenied

RUN = [sys.executable, "-c", "from line_ads_pipeline.cli import main; main()"]


@contextmanager
def simulator_process(tmp_path, *options, **variables):
    """A running `line-ads simulator` and what it printed when it was ready."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LINE_ADS_")}
    with subprocess.Popen(
        [*RUN, "simulator", "--port", "0", *options],
        cwd=tmp_path,
        env=environment | variables | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        printed = ""
        try:
            for line in process.stdout:
                printed += line
                if "export LINE_ADS_BASE_URL" in line:
                    break
            yield process, printed
        finally:
            process.kill()


def base_url(printed: str) -> str:
    return re.search(r"API +(http://127\.0\.0\.1:\d+/api)", printed)[1]


def client(printed, *, access_key="demo-access-key", secret_key="demo-secret-key"):
    return LineAdsClient(
        access_key=access_key, secret_key=secret_key, base_url=base_url(printed), retry_for=0
    )


def test_it_serves_until_it_is_interrupted(tmp_path):
    with simulator_process(tmp_path) as (process, printed):
        assert "demo keys" in printed
        assert "A10000000001, A10000000002" in printed
        page = re.search(r"Page +(\S+)", printed)[1]
        assert httpx.get(page).status_code == 200
        with client(printed) as line:
            assert list(line.list_audiences("A10000000001")) == []

        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()
        process.wait(timeout=20)

    assert process.returncode == 0
    assert rest.splitlines() == [
        "  export LINE_ADS_ACCESS_KEY=demo-access-key",
        "  export LINE_ADS_SECRET_KEY=demo-secret-key",
        "Stopped.",
    ]
    assert errors == ""


def test_it_takes_the_users_keys_and_accounts_and_never_shows_the_secret(tmp_path):
    keys = {"LINE_ADS_ACCESS_KEY": "own-access", "LINE_ADS_SECRET_KEY": "own-secret\n"}
    with simulator_process(tmp_path, "--ad-account", "A77", **keys) as (process, printed):
        with client(printed, access_key="own-access", secret_key="own-secret") as line:
            assert list(line.list_audiences("A77")) == []
            with pytest.raises(PermissionDenied):
                list(line.list_audiences("A10000000001"))
        with client(printed) as line, pytest.raises(AuthenticationFailed):
            list(line.list_audiences("A77"))
        process.send_signal(signal.SIGTERM)
        rest, errors = process.stdout.read(), process.stderr.read()
        process.wait(timeout=20)

    assert process.returncode == 0
    assert "keys of LINE_ADS_ACCESS_KEY and LINE_ADS_SECRET_KEY" in printed
    assert "own-secret" not in printed + rest + errors


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*RUN, "simulator", "--port", str(port)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}")
    assert "another port" in done.stderr


HEAVY = {
    *("dagster", "polars", "duckdb", "pyarrow", "numpy", "obstore", "phonenumbers", "sqlalchemy", "pydantic"),
    *("httpx", "cryptography", "starlette", "uvicorn", "jinja2", "yaml", "rich"),
}
LOOK = """
import sys
from line_ads_pipeline.cli import main
try:
    main(sys.argv[2:], prog_name="line-ads")
finally:
    print(*set(sys.argv[1].split()) & set(sys.modules), "imported")
"""


@pytest.mark.parametrize(
    "typed",
    ["--help", "--version", "simulator --help", "check --help", "audiences --help", "audiences"],
)
def test_nothing_heavy_is_imported_to_tell_how_a_command_is_typed(typed):
    """The last one lacks its argument."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, " ".join(HEAVY), *typed.split()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines()[-1] == "imported"
    assert "line-ads" in done.stdout + done.stderr


def test_help_lists_the_commands():
    done = subprocess.run([*RUN, "--help"], capture_output=True, text=True, check=True)

    assert re.findall(r"^  (audiences|check|simulator) ", done.stdout, re.MULTILINE) == [
        "audiences",
        "check",
        "simulator",
    ]


def test_the_simulator_needs_neither_dagster_nor_polars():
    look = (
        "import sys, line_ads_pipeline.simulator; print(*{'dagster', 'polars', 'duckdb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"


@pytest.mark.parametrize(
    "typed", [["--port", "x"], ["--port", "70000"], ["--job-seconds", "-1"], ["extra"]], ids=" ".join
)
def test_mistakes_of_typing(typed, line_ads):
    assert line_ads("simulator", *typed).exit_code == 2
