"""A process of its own for tests: `worker.py URL TASK ARGUMENT`, which starts its task when it is told to."""

# ruff: noqa: T201 - it talks to the test over its standard output
import os
import sys
import time
from pathlib import Path

from line_ads_pipeline.coordination import Coordination


def exclude(coordination: Coordination, log: str) -> None:
    """Note when it comes into and goes out of what only one may be in."""
    for _ in range(4):
        with coordination.lease("one") as lease:
            note(log, "in")
            time.sleep(0.005)
            lease.renew()
            note(log, "out")


def note(log: str, word: str) -> None:
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()} {word}\n")


def hold(coordination: Coordination, name: str) -> None:
    """Have a lease until it is killed."""
    with coordination.lease(name):
        print("held", flush=True)
        sys.stdin.readline()


def pace(coordination: Coordination, rate: str) -> None:
    """Print the moments at which requests would leave."""
    common = coordination.pace("an access key", per_second=float(rate))
    for _ in range(6):
        common.wait()
        print(time.monotonic(), flush=True)


def fork(coordination: Coordination, name: str) -> None:
    """Use what was opened before a fork on both sides of it."""
    with coordination.lease(name) as lease:
        lease.renew()
    child = os.fork()
    for _ in range(10):
        with coordination.lease(name) as lease:
            lease.renew()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    url, task, argument = sys.argv[1:]
    with Coordination(url, poll=0.01) as coordination:
        print("ready", flush=True)
        sys.stdin.readline()
        {"exclude": exclude, "hold": hold, "pace": pace, "fork": fork}[task](coordination, argument)
