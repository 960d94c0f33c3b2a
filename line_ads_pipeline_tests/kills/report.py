"""What a soak has seen, in figures."""

# ruff: noqa: T201 - it prints them
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from line_ads_pipeline.sync import Sync, SyncMode


@dataclass(kw_only=True)
class Report:
    """What happened, and what should not have.

    Attributes:
        settings: Syncs in each of the circumstances.
        windows: Kills by where they struck.
        kinds: Syncs of incremental audiences by what they sent, and why that was everything.
        cut: Kills of these by what was being sent.
        opted_out: People, none of whom may be sent any more.
        opted_out_midway: Those of them whom a killed sync had sent or not.
        faults: Requests that met a fault, by its name.
        errors: Runs that failed, by what they failed with.
        runs: Processes.
        uploads: That LINE took.
        requests: Of all kinds.
        violations: Empty, or nothing of this is worth anything.
    """

    settings: Counter[str] = field(default_factory=Counter)
    windows: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    opted_out: int = 0
    opted_out_midway: int = 0
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
            for each in fields(cls):
                setattr(whole, each.name, getattr(whole, each.name) + getattr(part, each.name))
        return whole

    def count_sync(self, sync: Sync) -> None:
        """Count what a sync of an incremental audience sent."""
        reason = f", since {sync.extent.reason}" if sync.extent.reason else ""
        self.kinds[f"{sync.mode}: {sync.kind}{reason}"] += 1

    def count_kill(self, sync: Sync, *, chunk: int) -> None:
        """Count what a sync of an incremental audience was sending when it was killed."""
        self.cut[f"{sync.mode}: {sync.kind}, {'the first' if chunk == 1 else 'a later'} chunk"] += 1

    def blame_lack_of_increments(self, modes: Iterable[SyncMode]) -> None:
        """Nothing is proven of the increments of a mode if none of them was killed."""
        for mode in sorted(modes):
            if not any(kind.startswith(f"{mode}: additions only") for kind in self.cut):
                self.violations.append(
                    f"no increment of mode {mode} was killed: more kills or syncs are needed"
                )


def tell(report: Report, *, seconds: float) -> None:
    """Print the figures."""
    tables = {
        "Kills, by where the simulator saw them strike": report.windows,
        "Of incremental audiences, by what was being sent": report.cut,
        "Requests that met a fault": report.faults,
        "Runs that failed of their own, and were started again": report.errors,
        "Syncs that were done": report.settings,
        "Of incremental audiences, by what was sent": report.kinds,
    }
    for title, counts in tables.items():
        print(f"{title}: {counts.total():,}")
        for name, count in sorted(counts.items()):
            print(f"  {count:6,}  {name}")
        print()
    print(
        f"{report.runs:,} processes, {report.requests:,} requests, {report.uploads:,} uploads that LINE took, "
        f"{report.opted_out} people opted out, {report.opted_out_midway} of them midway, {seconds:.0f} seconds."
    )
    for violation in report.violations:
        print(f"\nVIOLATION: {violation}")
    print("Membership was exact after every sync." if not report.violations else "It does not hold.")
