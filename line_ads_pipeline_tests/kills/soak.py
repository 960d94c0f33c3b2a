"""Kills syncs at random in all the windows where it hurts, starts them again, and looks what LINE holds in the end.

`make soak`, or `python -m line_ads_pipeline_tests.kills.soak --seed 7`; it fails when anything is not as it must be.
"""

# ruff: noqa: T201 - it prints its figures
import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Fault, Simulator
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import SyncMode
from line_ads_pipeline_tests.kills.exactness import violations
from line_ads_pipeline_tests.kills.faults import clear_faults
from line_ads_pipeline_tests.kills.people import snapshot_of
from line_ads_pipeline_tests.kills.sync_process import Nursery, SyncProcess, window_of
from line_ads_pipeline_tests.kills.victim import Task, bring

Aim = Literal["before the request", "under way", "before the answer", "after the answer"]
"""Where a kill is aimed at; where it struck, the simulator tells."""

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "upload dropped before": Fault(call="upload", drop="before"),
        "upload dropped after": Fault(call="upload", drop="after"),
        "500 without effect": Fault(call="upload", status=500),
        "500 with effect": Fault(call="upload", status=500, takes_effect=True),
        "garbage for an answer": Fault(call="upload", body="<html>"),
        "lost, and late in the list": Fault(call="upload", drop="after", appears_after_seconds=0.3),
        "late in the list": Fault(call="upload", appears_after_polls=2),
        "slow job": Fault(call="upload", job_polls=3),
        "job in an unknown status": Fault(call="upload", job_polls=2, job_status="PONDERING"),
        "failed job": Fault(call="upload", job_failed_type="INTERNAL_ERROR"),
        "429": Fault(status=429),
        "500 of the job list": Fault(call="upload-job", status=500),
        "job list dropped": Fault(call="upload-job", drop="after"),
        "500 of the audience list": Fault(call="list", status=500),
    }
)

_PATIENCE = {
    "first_poll": 0.03,
    "slowest_poll": 0.3,
    "settle": 0.8,
    "job_deadline": 60.0,
}
_NAME = "VIP customers"
_MAX_RECORDS = 3
_NEVER = 1e9
"""Seconds: whoever waited for a lease to expire would hang."""
_LANES = 8
_RUNS = 25
"""In which a sync has to be done, kills not counted."""
_DELAYS: Mapping[str | None, Fault] = MappingProxyType(
    {
        "under way": Fault(call="upload", delay_seconds=0.3),
        "before the answer": Fault(call="upload", answer_delay_seconds=2.0),
    }
)
"""What holds an upload up for as long as it takes to kill who sent it."""
_AIMS: Sequence[Aim] = (
    *(("before the request", "before the answer", "after the answer") * 3),
    "under way",
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The circumstances of an audience."""

    mode: SyncMode
    existing: bool
    hide_file_names: bool
    job_list_limit: int | None

    def __str__(self) -> str:
        names = "nameless jobs" if self.hide_file_names else "named jobs"
        capped = "" if self.job_list_limit is None else f", the newest {self.job_list_limit}"
        return f"{self.mode}, {'existing' if self.existing else 'new'} audience, {names}{capped}"


@dataclass(kw_only=True)
class Report:
    """What happened, and what should not have.

    Attributes:
        settings: Syncs in each of the circumstances.
        windows: Kills by where they struck.
        faults: Requests that met a fault, by its name.
        errors: Runs that failed, by what they failed with.
        runs: Processes.
        uploads: That LINE took.
        requests: Of all kinds.
        violations: Empty, or nothing of this is worth anything.
    """

    settings: Counter[str] = field(default_factory=Counter)
    windows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    uploads: int = 0
    requests: int = 0
    violations: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, parts: Iterable["Report"]) -> "Report":
        """All of them as one."""
        whole = cls()
        for part in parts:
            whole.settings += part.settings
            whole.windows += part.windows
            whole.faults += part.faults
            whole.errors += part.errors
            whole.runs += part.runs
            whole.uploads += part.uploads
            whole.requests += part.requests
            whole.violations += part.violations
        return whole


class Story:
    """What happens to one audience: several snapshots in turn, and kills and faults all the way.

    Args:
        setting: The circumstances.
        aims: Of the kills, in order; all are carried out.
        draws: Decides everything else.
        folder: Where its processes keep what they need.
        nursery: Of its processes.
    """

    def __init__(
        self, setting: Setting, *, aims: Iterable[Aim], draws: random.Random, folder: Path, nursery: Nursery
    ) -> None:
        folder.mkdir()
        self._nursery = nursery
        self._setting = setting
        self._aims = list(aims)
        self._draws = draws
        self._folder = folder
        self._store = Store(folder / "store")
        self._simulator = Simulator()
        self._day = date(2026, 1, 1)
        self._people: set[int] = set()
        self._report = Report()

    def play(self, *, syncs: int) -> Report:
        """Bring at least so many snapshots to LINE, and look each time what it holds.

        Args:
            syncs: More, if the kills need them.
        """
        with self._simulator:
            if self._setting.existing:
                people = self._draw_people()
                bring(self._task(people))
                self._expect(people)
            while not self._report.violations and (syncs > 0 or self._aims):
                self._sync()
                syncs -= 1
            self._count_requests()
        return self._report

    def _sync(self) -> None:
        """One snapshot, or a second one that takes the place of the first when that was killed."""
        people = self._draw_people()
        task = self._task(people)
        may_change = self._draws.random() < 0.3
        failures = 0
        while (process := self._run(task)).was_killed or process.error:
            failures += process.error is not None
            if failures > _RUNS:
                self._blame(f"the sync is not done after {failures} runs", process)
                return
            if process.was_killed and may_change:
                may_change = False
                self._expect(people)
                people = self._draw_people()
                task = self._task(people)
        self._expect(people)
        self._report.settings[str(self._setting)] += 1
        if process.audience_id is None:
            self._blame("it ended neither with a result nor with an error of ours", process)
        for violation in violations(self._simulator, audience_name=_NAME, people=self._people):
            self._blame(violation, process)

    def _run(self, task: Task) -> SyncProcess:
        """One process, which is killed if it comes to where the next kill is aimed at."""
        aim = self._aims[-1] if self._aims and self._draws.random() < 0.9 else None
        at_upload = self._draws.choice([1, 1, 1, 2, 2, 3])
        self._set_faults(aim, at_upload=at_upload)
        seen = len(self._simulator.requests)
        dies = aim if aim in {"before the request", "after the answer"} else None
        process = self._nursery.start(replace(task, dies=dies, at_upload=at_upload), folder=self._folder)
        self._report.runs += 1
        if process.wait(until=lambda: aim in _DELAYS and self._meets(_DELAYS[aim], since=seen)):
            process.kill()
        if process.was_killed:
            self._aims.pop()
            self._report.windows[window_of(process.uploads[-1], self._simulator.requests)] += 1
        elif process.error:
            self._report.errors[process.error] += 1
        return process

    def _set_faults(self, aim: Aim | None, *, at_upload: int) -> None:
        clear_faults(self._simulator)
        limit, hide_file_names = self._setting.job_list_limit, self._setting.hide_file_names
        if hide_file_names or limit is not None:
            self._simulator.inject(
                Fault(call="upload-job", times=None, hide_file_names=hide_file_names, job_list_limit=limit)
            )
        if aim in _DELAYS:
            self._simulator.inject(replace(_DELAYS[aim], skip=at_upload - 1))
        for name in self._draws.sample(sorted(FAULTS), k=self._draws.choice([0, 0, 1, 2])):
            self._simulator.inject(replace(FAULTS[name], skip=self._draws.choice([0, 0, 1, 2])))

    def _meets(self, delay: Fault, *, since: int) -> bool:
        """Whether a request is held up by a delay now; `since` is the number of requests before."""
        return any(
            request.status is None and request.file_name and str(delay) in (request.fault or "").split("; ")
            for request in self._simulator.requests[since:]
        )

    def _draw_people(self) -> list[int]:
        """Four to eight chunks of them, of whom most are not in the audience yet."""
        return self._draws.sample(range(100), k=self._draws.randint(3 * _MAX_RECORDS + 1, 8 * _MAX_RECORDS))

    def _task(self, people: Iterable[int]) -> Task:
        self._day += timedelta(days=1)
        return Task(
            store=str(self._folder / "store"),
            coordination_url=f"sqlite:///{self._folder}/coordination.sqlite",
            base_url=self._simulator.base_url,
            access_key=DEMO_ACCESS_KEY,
            secret_key=DEMO_SECRET_KEY,
            snapshot=snapshot_of(people, store=self._store, audience="vip").to_document(),
            partition=self._day.isoformat(),
            mode=self._setting.mode,
            audience_name=_NAME,
            max_records=_MAX_RECORDS,
            time_to_live=_NEVER,
            patience=_PATIENCE,
        )

    def _expect(self, people: Iterable[int]) -> None:
        """Take a snapshot, all of which LINE has or will have, into whom the audience must hold."""
        self._people = {*people} if self._setting.mode == "mirror" else self._people | {*people}

    def _blame(self, violation: str, process: SyncProcess) -> None:
        self._report.violations.append(f"{self._folder.name} ({self._setting}): {violation}\n{process.log}")

    def _count_requests(self) -> None:
        for request in self._simulator.requests:
            self._report.requests += 1
            self._report.uploads += request.job_id is not None
            met = (request.fault or "").split("; ")
            for name, fault in FAULTS.items():
                self._report.faults[name] += fault.call in {"any", request.call} and str(fault) in met


def soak(folder: Path, *, seed: int, kills: int, syncs: int, audiences: int) -> Report:
    """Bring snapshots to LINE in spite of everything.

    Args:
        folder: Empty.
        seed: Of all that is drawn at random.
        kills: How many.
        syncs: How many at least.
        audiences: That take them and the kills in turn; eight differ in all circumstances.
    """
    draws = random.Random(seed)
    aims = [_AIMS[number % len(_AIMS)] for number in range(kills)]
    draws.shuffle(aims)
    settings = [
        Setting(
            mode="add" if number & 1 else "mirror",
            existing=bool(number & 2),
            hide_file_names=bool((number ^ number >> 1 ^ number >> 2) & 1),
            job_list_limit=draws.choice([None, None, 2, 3, 5]),
        )
        for number in range(audiences)
    ]
    with Nursery() as nursery, ThreadPoolExecutor(max_workers=_LANES) as pool:
        played = [
            pool.submit(
                Story(
                    setting,
                    aims=aims[number::audiences],
                    draws=random.Random(f"{seed}/{number}"),
                    folder=folder / f"story-{number:03}",
                    nursery=nursery,
                ).play,
                syncs=-(-syncs // audiences),
            )
            for number, setting in enumerate(settings)
        ]
        return Report.of(story.result() for story in played)


def tell(report: Report, *, seconds: float) -> None:
    """Print the figures."""
    tables = {
        "Kills, by where the simulator saw them strike": report.windows,
        "Requests that met a fault": report.faults,
        "Runs that failed of their own, and were started again": report.errors,
        "Syncs that were done": report.settings,
    }
    for title, counts in tables.items():
        print(f"{title}: {counts.total():,}")
        for name, count in sorted(counts.items()):
            print(f"  {count:6,}  {name}")
        print()
    print(
        f"{report.runs:,} processes, {report.requests:,} requests, {report.uploads:,} uploads that LINE took, "
        f"{seconds:.0f} seconds."
    )
    for violation in report.violations:
        print(f"\nVIOLATION in {violation}")
    print("Membership was exact after every sync." if not report.violations else "It does not hold.")


def main() -> int:
    """Run from the command line; 1 when something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn at random")
    parser.add_argument("--kills", type=int, default=200, help="how many processes are killed")
    parser.add_argument("--syncs", type=int, default=40, help="how many syncs are done at least")
    parser.add_argument("--audiences", type=int, default=20, help="to how many audiences")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="line-ads-soak-") as folder:
        report = soak(Path(folder), **vars(options))
    tell(report, seconds=time.monotonic() - began)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
