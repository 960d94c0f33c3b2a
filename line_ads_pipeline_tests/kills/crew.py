"""Several syncs at a time in a process of its own, over one `LineAdsResource`: `crew.py FILE`.

The file holds the resource's settings and the tasks as JSON. It prints one JSON object for each task.
"""

import json
import logging
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from line_ads_pipeline.resources import LineAdsConnection, LineAdsResource
from line_ads_pipeline_tests.kills.victim import Task, carry_out, print_line


def work(connection: LineAdsConnection, task: Task) -> None:
    """Carry out one sync, and tell how it ended."""
    try:
        result = carry_out(
            task,
            client=connection.client,
            coordination=connection.coordination,
            patience=connection.patience,
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        traceback.print_exc()
        print_line({"audience": task.audience, "error": type(error).__name__})
    else:
        print_line({"audience": task.audience, "error": None, "confirmed": result.confirmed})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    document = json.loads(Path(sys.argv[1]).read_text())
    tasks = [Task(**task) for task in document["tasks"]]
    with (
        LineAdsResource(**document["resource"]).connect() as connected,
        ThreadPoolExecutor(max_workers=len(tasks)) as threads,
    ):
        list(threads.map(partial(work, connected), tasks))
