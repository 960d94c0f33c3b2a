"""How quickly the command line answers, before it does anything."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import table

TITLE = "Starting the command line"
GOAL = 0.5

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "line-ads --help": [str(Path(sys.executable).with_name("line-ads")), "--help"],
    "line-ads audiences --help": [str(Path(sys.executable).with_name("line-ads")), "audiences", "--help"],
}


def run(options: argparse.Namespace) -> str:
    """Measure, and say it in Markdown."""
    rounds = [{name: measure(command) for name, command in COMMANDS.items()} for _ in range(options.rounds)]
    taken = {name: [one[name] for one in rounds] for name in COMMANDS}
    cpu = {name: median(cpu for cpu, _ in each) for name, each in taken.items()}
    rows = [
        [name, f"{cpu[name]:.2f}", f"{median(wall for _, wall in each):.2f}"] for name, each in taken.items()
    ]
    return (
        f"{table(['command', 'CPU s', 'wall s'], rows)}\n\n"
        f"`line-ads --help` takes **{cpu['line-ads --help']:.2f}** s of CPU time; the goal is less than {GOAL}."
    )


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds of CPU time and on the clock.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began
