"""`make dev`: the Dagster UI, with the simulator behind it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager

import dagster as dg
import httpx
from rich.console import Console

from line_ads_pipeline.defs.resources import PROJECT_ROOT
from line_ads_pipeline.demo.surroundings import (
    LINE_VARIABLES,
    WAREHOUSE_VARIABLE,
    DemoError,
    DemoFolder,
    Project,
    demo_environment,
    own_settings,
)
from line_ads_pipeline.simulator import PortInUseError, Simulator
from line_ads_pipeline.simulator.loopback import HOST, listen

_PORTS_TRIED = 50
_ADVERTISEMENT = "ignore:Function `dev_command` is superseded"
_SECONDS_TO_STOP = 75  # Dagster gives its own two processes 60


def serve(
    folder: DemoFolder, *, console: Console, port: int, dagster_port: int, build: Callable[[], object]
) -> None:
    """Run Dagster until Ctrl-C: with the simulator, or with the LINE that the user's own settings name.

    Args:
        folder: Of the demo.
        console: To speak to.
        port: Of the simulator.
        dagster_port: Of the UI; the next free one is taken.
        build: Makes the demo's warehouse, when it is needed and not there.

    Raises:
        DemoError: Dagster ended by itself.
        PortInUseError: The simulator's port is not free.
    """
    own = own_settings(LINE_VARIABLES)
    if own:
        console.print(
            f"{_listed(own)}: your own settings count, so no simulator is started and Dagster works with "
            f"your LINE and your warehouse.\n[yellow]Schedules are on[/] unless LINE_ADS_SCHEDULES is off."
        )
        _run_dagster(dict(os.environ), console, dagster_port, page=None)
        return
    project = Project.load()
    with Simulator(port=port, job_seconds=2.0, ad_account_ids=project.ad_account_ids) as simulator:
        environment = demo_environment(simulator, folder, serving=True)
        own_warehouse = own_settings((WAREHOUSE_VARIABLE,))
        if own_warehouse:
            console.print(
                f"{_listed(own_warehouse)}: segments are read from your warehouse, and go to the simulator."
            )
            environment[WAREHOUSE_VARIABLE] = os.environ.get(WAREHOUSE_VARIABLE, "")
        elif not folder.warehouse.exists():
            build()
        # the simulator begins empty, so a store that remembers audiences would miss them
        shutil.rmtree(folder.store(serving=True), ignore_errors=True)
        _run_dagster(environment, console, dagster_port, page=simulator.url)


def _listed(places: Mapping[str, str]) -> str:
    return ", ".join(f"{name} is set in {place}" for name, place in places.items())


def _run_dagster(
    environment: Mapping[str, str], console: Console, wanted_port: int, *, page: str | None
) -> None:
    _create_storage()
    port = _free_port(wanted_port)
    address = f"http://{HOST}:{port}"
    with (
        _signals_interrupt(),
        subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            [
                sys.executable,
                "-W",
                _ADVERTISEMENT,
                "-m",
                "dagster",
                "dev",
                "--host",
                HOST,
                "--port",
                str(port),
            ],
            cwd=PROJECT_ROOT,
            env=environment,
            start_new_session=True,  # a Ctrl-C reaches this process alone, which ends the other in its own time
        ) as process,
    ):
        try:
            with console.status("Starting Dagster"):
                _await(address, process)
            console.print(f"\n  Dagster UI       [bold]{address}[/]")
            if page is not None:
                console.print(f"  Simulated LINE   [bold]{page}[/]")
            console.print("\nCtrl-C stops both.\n" if page else "\nCtrl-C stops it.\n")
            process.wait()
        except KeyboardInterrupt:
            console.print("\nStopping …")
            _stop(process)
            return
    raise DemoError(
        f"Dagster ended by itself with exit code {process.returncode}: its reason is printed above"
    )


def _create_storage() -> None:
    """Make Dagster's databases: its processes would race for it, and the loser stops."""
    with chdir(PROJECT_ROOT):
        if os.environ.get("DAGSTER_HOME"):
            instance = dg.DagsterInstance.get()
        else:
            instance = dg.DagsterInstance.from_config(str(PROJECT_ROOT))
        with instance:
            instance.get_runs_count()


def _free_port(wanted: int) -> int:
    for port in range(wanted, wanted + _PORTS_TRIED):
        try:
            listen(port).close()
        except PortInUseError:
            continue
        return port
    raise DemoError(
        f"no port from {wanted} to {wanted + _PORTS_TRIED - 1} is free: name another with --dagster-port"
    )


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the UI answers, or its process has ended."""
    while process.poll() is None:
        try:
            httpx.get(f"{address}/server_info", timeout=5).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.3)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let Dagster end its processes; at a second Ctrl-C, or when it takes too long, end them all."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_SECONDS_TO_STOP)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Make both signals raise KeyboardInterrupt, also where a shell's background job was told to ignore one."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
