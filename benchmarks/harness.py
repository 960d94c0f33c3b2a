"""Contenders, each measured in a fresh process of its own, in turns, and what is told about them.

A contender is a function of a section's module: it prepares, does its work within the stopwatch it is given, and
returns what it found, as JSON takes it. Modules are imported before, so that their time is told apart.
"""

import importlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from benchmarks.openssl import openssl_version

PROJECT = Path(__file__).parents[1]
VERSIONS = (
    "dagster",
    "polars",
    "datafusion",
    "pyarrow",
    "duckdb",
    "phonenumbers",
    "httpx",
    "pydantic",
    "PyYAML",
)

MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Reading:
    """What one process took.

    Attributes:
        wall: Seconds on the clock.
        cpu: Seconds of all its threads, in user and system mode; other processes on the machine hardly matter to it.
        startup_cpu: The same before the work began: interpreter, imports, preparation.
        peak_bytes: The most memory it ever held.
        found: What the contender returned.
    """

    wall: float
    cpu: float
    startup_cpu: float
    peak_bytes: int
    found: Any


@dataclass(frozen=True)
class Measured:
    """A contender's medians over all rounds; `found` is of the last one."""

    wall: float
    cpu: float
    startup_cpu: float
    peak_bytes: float
    found: Any

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Self:
        """The medians, each quantity by itself."""
        return cls(
            wall=median(reading.wall for reading in readings),
            cpu=median(reading.cpu for reading in readings),
            startup_cpu=median(reading.startup_cpu for reading in readings),
            peak_bytes=median(reading.peak_bytes for reading in readings),
            found=readings[-1].found,
        )

    def scaled(self, factor: float) -> Self:
        """As if it had taken so many times as long; memory stays as it was."""
        return replace(self, wall=self.wall * factor, cpu=self.cpu * factor)


class Stopwatch:
    """Times what happens within it, once."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.startup_cpu = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> None:
        self.startup_cpu = time.process_time()
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall = time.perf_counter() - self._began
        self.cpu = time.process_time() - self.startup_cpu
        self.peak_bytes = _peak_bytes()


def _peak_bytes() -> int:
    # not ru_maxrss on Linux: of a child it starts at its parent's peak
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def race(contenders: Mapping[str, Sequence[str]], *, section: str, rounds: int) -> dict[str, Measured]:
    """Let the contenders run one after the other, `rounds` times.

    Args:
        contenders: By name, the function in the section's module, or another module's as `module.function`, and its
            arguments.
        section: The module.
        rounds: How often each runs; medians are taken.

    Raises:
        subprocess.CalledProcessError: A contender failed; its own words are on standard error.
    """
    readings: dict[str, list[Reading]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, call in contenders.items():
            reading = _run(section, call)
            readings[name].append(reading)
            print(
                f"  round {number} of {rounds}: {name}: {reading.cpu:.2f} s CPU, {reading.wall:.2f} s",
                flush=True,
            )
    return {name: Measured.of(taken) for name, taken in readings.items()}


def _run(section: str, call: Sequence[str]) -> Reading:
    module, _, function = call[0].rpartition(".")
    command = [sys.executable, "-m", "benchmarks.harness", module or section, function, *call[1:]]
    # one's own settings, LINE_ADS_SCHEDULES for instance, would change what is measured
    settings = {name: value for name, value in os.environ.items() if not name.startswith("LINE_ADS_")}
    ended = subprocess.run(command, cwd=PROJECT, env=settings, stdout=subprocess.PIPE, check=True, text=True)
    return Reading(**json.loads(ended.stdout.splitlines()[-1]))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, also readable as it stands: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(map(str.rjust, cells[1:], widths[1:]))]
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, [header, rule, *rows]))


def rates(measured: Mapping[str, Measured], *, what: str, rows: int) -> list[list[str]]:
    """A header and rows for `table`, of contenders that all did the same so many rows."""
    header = [what, "wall s", "rows a second", "CPU s", "peak MiB"]
    return [
        header,
        *(
            [
                name,
                f"{one.wall:.2f}",
                f"{rows / one.wall:,.0f}",
                f"{one.cpu:.2f}",
                f"{one.peak_bytes / MEBIBYTE:,.0f}",
            ]
            for name, one in measured.items()
        ),
    ]


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """What the figures were taken on: nothing that names the machine or its user."""
    packages = ", ".join(f"{package} {version(package)}" for package in VERSIONS)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{_cpu_model()}, {cores()} cores, {memory:.0f} GiB; {platform.system()}, Python {platform.python_version()}, "
        f"{packages}, {openssl_version()}"
    )


def _cpu_model() -> str:
    cpus = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", cpus.read_text(), re.MULTILINE) if cpus.exists() else None
    return found[1] if found else platform.machine()


def _child(section: str, function: str, *arguments: str) -> None:
    contender = getattr(importlib.import_module(section), function)
    stopwatch = Stopwatch()
    found = contender(stopwatch, *arguments)
    reading = Reading(stopwatch.wall, stopwatch.cpu, stopwatch.startup_cpu, stopwatch.peak_bytes, found)
    print(json.dumps(vars(reading)))


if __name__ == "__main__":
    _child(*sys.argv[1:])
