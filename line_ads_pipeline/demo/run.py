"""One Dagster run of an audience, by the command that anyone would type."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.schedule import run_partitions
from line_ads_pipeline.defs.resources import PROJECT_ROOT
from line_ads_pipeline.demo.surroundings import DemoError

STEPS = ("source_segment", "hashed_identifiers", "line_custom_audience")

_EVENT = re.compile(
    r" - \w+?__(?P<step>source_segment|hashed_identifiers|line_custom_audience) - STEP_(?P<event>START|SUCCESS) "
)
_FAILURE = re.compile(r"^(?:dagster\S*\.)?(?:Failure|Dagster\w+): (?P<reason>.+)", re.MULTILINE)


def newest_run_date(audience: Audience) -> str:
    """The partition that the schedule would run now: before the time of day it is yesterday's.

    Raises:
        DemoError: The first run date is in the future.
    """
    newest = run_partitions(audience.run_frequency).get_last_partition_key()
    if newest is None:
        raise DemoError(f"{audience.name} has no run date yet: its start_date is in the future")
    return newest


def command(audience: Audience, run_date: str) -> list[str]:
    """What to type to bring the audience to LINE."""
    selection = f'+key:"{audience.name}/line_custom_audience"'
    return [
        "dagster", "asset", "materialize", "--select", selection, "--partition", run_date,
        "-m", "line_ads_pipeline.definitions",
    ]  # fmt: skip


def materialise(
    typed: list[str], *, environment: Mapping[str, str], log: Path, on_step: Callable[[str, str], object]
) -> None:
    """Run the command in a process of its own.

    Args:
        typed: As `command` gives it.
        environment: Of the process.
        log: Takes all that it prints.
        on_step: Called with a step's name and `START` or `SUCCESS`.

    Raises:
        DemoError: The run failed; the reason and the log are named.
    """
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(  # noqa: S603 - this project's own command
            [sys.executable, "-m", *typed],
            cwd=PROJECT_ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        ) as process,
    ):
        file.write(f"{shlex.join(typed)}\n")
        for line in process.stdout or ():
            file.write(line)
            event = _EVENT.search(line)
            if event is not None:
                on_step(event["step"], event["event"])
    if process.returncode != 0:
        raise DemoError(
            f"the run failed: {_essence(log.read_text(encoding='utf-8'))}\nThe whole log is in {log}"
        )


def _essence(log: str) -> str:
    """The last reason that the log gives, else its last line."""
    reasons = [match["reason"] for match in _FAILURE.finditer(log)]
    return reasons[-1] if reasons else (log.strip().splitlines() or ["it printed nothing"])[-1]
