"""Kills syncs at random in all the windows where it hurts, starts them again, and looks what LINE holds in the end.

`make soak`, or `python -m line_ads_pipeline_tests.kills.soak --seed 7`; it fails when anything is not as it must be.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Fault, Simulator
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import AudienceRecords, SyncMode
from line_ads_pipeline_tests.kills.crowd import Crowd
from line_ads_pipeline_tests.kills.exactness import chunk_of, violations
from line_ads_pipeline_tests.kills.faults import clear_faults
from line_ads_pipeline_tests.kills.people import members_of, snapshot_of
from line_ads_pipeline_tests.kills.report import Report, tell
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
    incremental: bool

    def __str__(self) -> str:
        kind = "incremental " if self.incremental else ""
        names = "nameless jobs" if self.hide_file_names else "named jobs"
        capped = "" if self.job_list_limit is None else f", the newest {self.job_list_limit}"
        return f"{kind}{self.mode}, {'existing' if self.existing else 'new'} audience, {names}{capped}"


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
        self._records = AudienceRecords(self._store, "vip")
        self._simulator = Simulator()
        self._day = date(2026, 1, 1)
        self._crowd = Crowd(mode=setting.mode, grows=setting.incremental, chunk=_MAX_RECORDS, draws=draws)
        self._report = Report()

    def play(self, *, syncs: int) -> Report:
        """Bring at least so many snapshots to LINE, and look each time what it holds.

        Args:
            syncs: More, if the kills need them.
        """
        with self._simulator:
            if self._setting.existing:
                people = self._crowd.draw()
                bring(self._task(people))
                self._crowd.expect(people)
                self._crowd.settle()
            while not self._report.violations and (syncs > 0 or self._aims):
                self._crowd.let_opt_out(chance=0.1)
                self._sync(self._crowd.draw())
                syncs -= 1
            if self._setting.incremental and not self._report.violations:
                self._end_calmly()
            self._count_requests()
        self._report.opted_out = len(self._crowd.opted_out)
        self._report.opted_out_midway = len(self._crowd.may_lack)
        return self._report

    def _end_calmly(self) -> None:
        """Without kills and faults the increments soon hold no more than what is new, whatever has happened before.

        The first sync may see what is late, so that the second sends everything. An add then brings only new people, and
        in the end those of before as well, who need not be sent again.
        """
        people = self._crowd.draw()
        for number in range(4):
            new = self._crowd.draw_new(_MAX_RECORDS + 1)
            people = [*people, *new]
            brings_new_alone = self._setting.mode == "add" and number == 2
            process = self._sync(new if brings_new_alone else people, calm=True)
        if process.sent != members_of(new):
            self._blame(f"{len(process.sent)} members were sent, though {len(new)} were new", process)

    def _sync(self, people: list[int], *, calm: bool = False) -> SyncProcess:
        """One snapshot, or a second one that takes the place of the first when that was killed; gives the last process."""
        task = self._task(people)
        may_change = self._draws.random() < 0.3
        failures = 0
        while (process := self._run(task, calm=calm)).was_killed or process.error:
            failures += process.error is not None
            if failures > _RUNS:
                self._blame(f"the sync is not done after {failures} runs", process)
                return process
            if process.was_killed and may_change:
                may_change = False
                self._crowd.expect(people)
                self._crowd.let_opt_out(chance=0.5)
                people = self._crowd.draw()
                task = self._task(people)
        self._crowd.expect(people)
        self._report.settings[str(self._setting)] += 1
        self._count_kind()
        if process.audience_id is None:
            self._blame("it ended neither with a result nor with an error of ours", process)
        for violation in violations(
            self._simulator,
            audience_name=_NAME,
            people=self._crowd.expected,
            may_lack=self._crowd.may_lack,
        ):
            self._blame(violation, process)
        self._crowd.settle()
        return process

    def _run(self, task: Task, *, calm: bool) -> SyncProcess:
        """One process, which is killed if it comes to where the next kill is aimed at."""
        aim = self._aims[-1] if self._aims and self._draws.random() < 0.9 else None
        at_upload = self._draws.choice([1, 1, 1, 2, 2, 3])
        self._set_faults(aim, at_upload=at_upload, calm=calm)
        seen = len(self._simulator.requests)
        dies = aim if aim in {"before the request", "after the answer"} else None
        process = self._nursery.start(replace(task, dies=dies, at_upload=at_upload), folder=self._folder)
        self._report.runs += 1
        if process.wait(until=lambda: aim in _DELAYS and self._meets(_DELAYS[aim], since=seen)):
            process.kill()
        if process.was_killed:
            self._aims.pop()
            self._report.windows[window_of(process.uploads[-1], self._simulator.requests)] += 1
            self._count_cut(process.uploads[-1])
        elif process.error:
            self._report.errors[process.error] += 1
        if process.sent & members_of(self._crowd.opted_out):
            self._blame("somebody was sent who had opted out", process)
        return process

    def _set_faults(self, aim: Aim | None, *, at_upload: int, calm: bool) -> None:
        clear_faults(self._simulator)
        limit, hide_file_names = self._setting.job_list_limit, self._setting.hide_file_names
        if hide_file_names or limit is not None:
            self._simulator.inject(
                Fault(call="upload-job", times=None, hide_file_names=hide_file_names, job_list_limit=limit)
            )
        if aim in _DELAYS:
            self._simulator.inject(replace(_DELAYS[aim], skip=at_upload - 1))
        for name in self._draws.sample(sorted(FAULTS), k=0 if calm else self._draws.choice([0, 0, 1, 2])):
            self._simulator.inject(replace(FAULTS[name], skip=self._draws.choice([0, 0, 1, 2])))

    def _meets(self, delay: Fault, *, since: int) -> bool:
        """Whether a request is held up by a delay now; `since` is the number of requests before."""
        return any(
            request.status is None and request.file_name and str(delay) in (request.fault or "").split("; ")
            for request in self._simulator.requests[since:]
        )

    def _task(self, people: Iterable[int]) -> Task:
        self._day += timedelta(days=1)
        opted_out = self._crowd.opted_out
        return Task(
            store=str(self._folder / "store"),
            coordination_url=f"sqlite:///{self._folder}/coordination.sqlite",
            base_url=self._simulator.base_url,
            access_key=DEMO_ACCESS_KEY,
            secret_key=DEMO_SECRET_KEY,
            snapshot=self._snapshot(people),
            partition=self._day.isoformat(),
            mode=self._setting.mode,
            incremental=self._setting.incremental,
            opted_out=self._snapshot(opted_out) if opted_out else None,
            audience_name=_NAME,
            max_records=_MAX_RECORDS,
            time_to_live=_NEVER,
            patience=_PATIENCE,
        )

    def _snapshot(self, people: Iterable[int]) -> Mapping[str, Any]:
        return snapshot_of(people, store=self._store, audience="vip").to_document()

    def _blame(self, violation: str, process: SyncProcess) -> None:
        self._report.violations.append(f"{self._folder.name} ({self._setting}): {violation}\n{process.log}")

    def _count_kind(self) -> None:
        """Count what the sync that was done sent, by its manifest."""
        sync = self._records.latest_sync()
        if self._setting.incremental and sync is not None:
            self._report.count_sync(sync)

    def _count_cut(self, file_name: str) -> None:
        """Count what the sync was sending that was killed, by its manifest."""
        sync_id, chunk = chunk_of(file_name) or (None, 0)
        sync = self._records.sync(sync_id)
        if self._setting.incremental and sync is not None:
            self._report.count_kill(sync, chunk=chunk)

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
        audiences: That take them and the kills in turn; sixteen differ in all circumstances, eight in any three.
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
            incremental=bool((number >> 2 ^ number >> 3) & 1),
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
        report = Report.of(story.result() for story in played)
    if kills:
        report.blame_lack_of_increments({setting.mode for setting in settings if setting.incremental})
    return report


def main() -> int:
    """Run from the command line; 1 when something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn at random")
    parser.add_argument("--kills", type=int, default=200, help="how many processes are killed")
    parser.add_argument("--syncs", type=int, default=40, help="how many syncs are done at least")
    parser.add_argument("--audiences", type=int, default=16, help="to how many audiences")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="line-ads-soak-") as folder:
        report = soak(Path(folder), **vars(options))
    tell(report, seconds=time.monotonic() - began)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
