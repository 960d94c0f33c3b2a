import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_to_collect():
    """Collect what tests before left, such as Dagster's database connections.

    Python 3.11 fails to compile when a finaliser that runs code comes in between, and the demo compiles a lot.
    """
    gc.collect()
