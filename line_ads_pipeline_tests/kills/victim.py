"""Syncs in processes of their own, which may kill themselves on the way.

The script reads the names of files from its standard input, each of a `Task`, forks a process for it, and prints its
number: to import everything takes longer than to sync, so that is done once. What a process prints is kept beside its
task; each line is one JSON object: an upload before its request, and at the end the result or the error.
"""

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from line_ads_pipeline.coordination import Coordination, CoordinationError
from line_ads_pipeline.line_ads import CustomAudience, LineAdsClient, LineAdsError
from line_ads_pipeline.store import Snapshot, Store, StoreError, Tally
from line_ads_pipeline.sync import (
    AudienceRecords,
    Destination,
    Guardrails,
    Patience,
    SyncError,
    Synchroniser,
    SyncMode,
    SyncRequest,
    SyncResult,
)

Seam = Literal["before the request", "after the answer"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One sync.

    Attributes:
        store: A folder.
        coordination_url: A SQLite file.
        base_url: Of the simulator.
        access_key: That it knows.
        secret_key: Of the access key.
        snapshot: Its document; it is in the store.
        partition: The run date.
        mode: What the sync means.
        incremental: Send only what is new.
        opted_out: The document of the snapshot of those who have opted out; None for nobody.
        audience: The name of the audience file.
        audience_name: In LINE.
        ad_account_id: In LINE.
        max_records: Rows in one upload.
        requests_per_second: Over all processes.
        time_to_live: Seconds after which a silent process of another host counts as dead.
        patience: The fields of `Patience` that differ from its defaults.
        dies: Where it kills itself; None for nowhere.
        at_upload: At which of its uploads, from 1.
    """

    store: str
    coordination_url: str
    base_url: str
    access_key: str
    secret_key: str
    snapshot: Mapping[str, Any]
    partition: str
    mode: SyncMode
    incremental: bool = False
    opted_out: Mapping[str, Any] | None = None
    audience: str = "vip"
    audience_name: str = "VIP customers"
    ad_account_id: str = "A10000000001"
    max_records: int = 3
    requests_per_second: float = 8.0
    time_to_live: float = 45.0
    patience: Mapping[str, float] = field(default_factory=dict)
    dies: Seam | None = None
    at_upload: int = 1

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps(asdict(self)))


class MortalClient(LineAdsClient):
    """Tells of each upload before its request, and may go no further.

    Attributes:
        tell: Takes what the parent is to know.
        dies: Where; None for nowhere.
        at_upload: At which of its uploads, from 1.
        is_doomed: The process may not write down any more what it knows.
    """

    tell: Callable[[Mapping[str, Any]], None]
    dies: Seam | None = None
    at_upload = 1
    is_doomed = False
    _uploads = 0

    def upload(self, ad_account_id: str, *, file_name: str, **fields: Any) -> CustomAudience:
        """Upload, unless this is the end."""
        self._uploads += 1
        self.tell({"upload": file_name, "members": fields["file"].read().decode().split()})
        if self.dies == "before the request" and self._uploads >= self.at_upload:
            die()
        audience = super().upload(ad_account_id, file_name=file_name, **fields)
        self.is_doomed = self.dies == "after the answer" and self._uploads >= self.at_upload
        return audience


class MortalStore(Store):
    """A store that a doomed client's process does not come to write to.

    Attributes:
        client: Who knows.
    """

    client: MortalClient

    def write_document(self, document: Mapping[str, Any], *parts: str) -> None:
        """Write, unless this is the end."""
        if self.client.is_doomed:
            die()
        super().write_document(document, *parts)


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def print_line(document: Mapping[str, Any]) -> None:
    """Tell the parent."""
    print(json.dumps(document), flush=True)  # noqa: T201 - that is how it talks


def carry_out(
    task: Task,
    *,
    client: LineAdsClient,
    coordination: Coordination,
    store: Store | None = None,
    patience: Patience | None = None,
) -> SyncResult:
    """Carry out a sync through an open client, and remove what nothing needs any more, as each run does."""
    synchroniser = Synchroniser(
        client=client,
        records=AudienceRecords(store or Store(task.store), task.audience),
        destination=Destination(
            audience=task.audience,
            ad_account_id=task.ad_account_id,
            id_type="HASHED_EMAIL",
            audience_name=task.audience_name,
        ),
        coordination=coordination,
        mode=task.mode,
        max_records=task.max_records,
        incremental=task.incremental,
        guardrails=Guardrails(max_shrink=1.0, max_skipped=1.0),
        patience=patience or Patience(**task.patience),
    )
    snapshot = Snapshot.from_document(task.snapshot)
    tally = Tally(rows=snapshot.count, outcomes={}, distinct=snapshot.count, duplicates=0)
    opted_out = Snapshot.from_document(task.opted_out) if task.opted_out else None
    with synchroniser.alone(task.partition) as mine:
        result = mine.sync(
            SyncRequest(snapshot=snapshot, tally=tally, partition=task.partition, opted_out=opted_out)
        )
        mine.records.prune(snapshot)
    return result


def bring(task: Task, *, tell: Callable[[Mapping[str, Any]], None] = lambda _: None) -> SyncResult:
    """Carry out a sync in this process, which may not survive it."""
    with Coordination(task.coordination_url, time_to_live=task.time_to_live, poll=0.05) as coordination:
        client = MortalClient(
            access_key=task.access_key,
            secret_key=task.secret_key,
            base_url=task.base_url,
            pace=coordination.pace("requests", per_second=task.requests_per_second),
            waiting_pace=coordination.pace("waiting", per_second=task.requests_per_second * 0.3),
        )
        client.tell, client.dies, client.at_upload = tell, task.dies, task.at_upload
        store = MortalStore(task.store)
        store.client = client
        with client:
            return carry_out(task, client=client, coordination=coordination, store=store)


def perform(file: Path) -> None:
    """Carry out the task of a file, and tell how it ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", force=True)
    try:
        result = bring(Task.read(file), tell=print_line)
    except (SyncError, LineAdsError, CoordinationError, StoreError) as error:
        traceback.print_exc()
        print_line({"error": type(error).__name__})
    except Exception as error:  # noqa: BLE001 - no way for a sync to end, which the parent is told
        traceback.print_exc()
        print_line({"crash": type(error).__name__})
    else:
        print_line({"audience_id": result.audience_id})


def fork(file: Path) -> int:
    """Start a process for the task of a file; gives its number."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream, suffix in ((sys.stdout, ".out"), (sys.stderr, ".log")):
        with file.with_suffix(suffix).open("wb") as kept:
            os.dup2(kept.fileno(), stream.fileno())
    perform(file)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead leave nothing behind
    for line in sys.stdin:
        print(fork(Path(line.removesuffix("\n"))), flush=True)  # noqa: T201 - that is how it talks
