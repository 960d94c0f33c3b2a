"""A sync under way in a process of its own, as its parent sees it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

from line_ads_pipeline.simulator.records import RequestRecord
from line_ads_pipeline_tests.kills import victim

Window = Literal[
    "before the request",
    "request under way",
    "accepted, not answered",
    "answered, not written down",
]
"""Where LINE stood with an upload when the process that sent it was killed."""

PATIENCE = 120.0
"""Seconds after which a process is taken to hang; it is not measured, only not waited for for ever."""


class Nursery:
    """Starts processes that carry out tasks, at little cost; may be shared by threads."""

    def __init__(self) -> None:
        self._turns = threading.Lock()
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        # Python warns of forks beside threads; those of Polars are an allocator's, and not needed by a child
        self._forks = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning:__main__", victim.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Start no more; those that run go on."""
        self._forks.communicate()

    def start(self, task: victim.Task, *, folder: Path) -> "SyncProcess":
        """Start a process, whose task and output are kept in a folder."""
        with self._turns:
            file = folder / f"sync-{next(self._numbers):04}.json"
            task.write(file)
            for suffix in (".out", ".log"):
                file.with_suffix(suffix).touch()
            self._forks.stdin.write(f"{file}\n")
            self._forks.stdin.flush()
            return SyncProcess(int(self._forks.stdout.readline()), file)


class SyncProcess:
    """A process that carries out a task.

    Args:
        number: Of the process.
        file: Of its task.
    """

    def __init__(self, number: int, file: Path) -> None:
        self._number = number
        self._has_ended = False
        self._output, self._log = file.with_suffix(".out"), file.with_suffix(".log")

    @property
    def is_running(self) -> bool:
        if not self._has_ended:
            try:
                os.kill(self._number, 0)
            except ProcessLookupError:
                self._has_ended = True  # for ever, whoever has that number later
        return not self._has_ended

    @property
    def was_killed(self) -> bool:
        """Whether it ended without a word."""
        return not self.is_running and not any(self._lines("audience_id", "error", "crash"))

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def uploads(self) -> list[str]:
        """The file names of the uploads whose requests it was about to send."""
        return [*self._lines("upload")]

    @property
    def sent(self) -> set[str]:
        """The members of those uploads."""
        return {*itertools.chain.from_iterable(self._lines("members"))}

    @property
    def error(self) -> str | None:
        """The class of what it failed with, if it is one that a sync may fail with."""
        return next(self._lines("error"), None)

    @property
    def audience_id(self) -> str | None:
        """The audience of a sync that was done."""
        return next(self._lines("audience_id"), None)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self.is_running:
                os.kill(self._number, signal.SIGKILL)
        while self.is_running:
            time.sleep(0.001)

    def wait(self, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the process ends, or a condition comes true, and tell whether it did.

        Raises:
            TimeoutError: Neither happens; the process is killed then.
        """
        deadline = time.monotonic() + PATIENCE
        while self.is_running:
            if until():
                return True
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"a sync hangs: {self.log[-3000:]}")
            time.sleep(0.01)
        return False

    def _lines(self, *keys: str) -> Iterator[Any]:
        """What it told under these keys."""
        for line in self._output.read_text().splitlines():
            document = json.loads(line)
            yield from (document[key] for key in keys if key in document)


def window_of(file_name: str, requests: Iterable[RequestRecord]) -> Window:
    """Where LINE stands with an upload, by its own record of requests alone."""
    records = [request for request in requests if request.file_name == file_name]
    if any(record.status == 202 for record in records):
        return "answered, not written down"
    if any(record.job_id for record in records):
        return "accepted, not answered"
    if any(record.status is None for record in records):
        return "request under way"
    return "before the request"
