"""Taking turns at a database file, so that those who look at it often leave room for its writer."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from line_ads_pipeline.warehouse.errors import WarehouseBusy


class Turns:
    """Lets one thread of this process at a time have a database file.

    with PROBES.at(path):
        ...  # open, ask, close
    """

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}

    @contextmanager
    def at(self, path: Path, *, patience: float = 25.0) -> Iterator[None]:
        """Have the file, by whatever path it is reached, until the `with` block ends.

        Args:
            path: Of a file, which need not exist.
            patience: Seconds to wait for the turn; less than the minute that Dagster gives a sensor, since a sensor
                that waits longer is given up but keeps its thread.

        Raises:
            WarehouseBusy: Others had it all that time.
        """
        lock = self._locks.setdefault(os.path.realpath(path), threading.Lock())  # setdefault is atomic
        if not lock.acquire(timeout=patience):
            raise WarehouseBusy(
                f"The database {path} was being asked for other audiences for {patience:g} seconds. Ask again later; "
                "if that happens often, check less often, or give the sources an updated_at."
            )
        try:
            yield
        finally:
            lock.release()


# Shared by all warehouses of the process because DuckDB shares one instance of a file within a process, and with it
# the lock that keeps writers out: probes that overlap, however short, could hold it for ever.
PROBES = Turns()
"""The turns of those who ask for a data version."""
