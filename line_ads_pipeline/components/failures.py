"""What a run or a tick says when it fails: the audience, what is wrong and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb

import dagster as dg

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.errors import RunRefused
from line_ads_pipeline.coordination import CoordinationError, CoordinationUnavailable, LeaseLost
from line_ads_pipeline.identifiers import UnsupportedIdentifierColumn
from line_ads_pipeline.line_ads import LineAdsError, NetworkError, RateLimited, ServerError
from line_ads_pipeline.store import StoreError
from line_ads_pipeline.sync import SyncError
from line_ads_pipeline.warehouse import (
    WarehouseBusy,
    WarehouseConnectionLost,
    WarehouseError,
    WarehouseUnreachable,
)

_PASSING = (
    RateLimited,
    ServerError,
    NetworkError,
    CoordinationUnavailable,
    LeaseLost,
    WarehouseBusy,
    WarehouseConnectionLost,
    WarehouseUnreachable,
)
"""What may be gone by the next try, so that a retry policy is followed."""


@contextmanager
def in_plain_words(audience: Audience) -> Iterator[None]:
    """Fail with the audience, what is wrong and the remedy; a driver's words may quote what it read.

    Raises:
        dagster.Failure: Whatever went wrong within. Its text and its chain hold nothing of an unexpected error but
            class and place.
    """
    try:
        yield
    except _PASSING as error:
        failure = dg.Failure(f"{audience.name}: {error}")
    except (
        LineAdsError,
        SyncError,
        StoreError,
        WarehouseError,
        RunRefused,
        CoordinationError,
        UnsupportedIdentifierColumn,
    ) as error:
        failure = dg.Failure(f"{audience.name}: {error}", allow_retries=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, its text is not ours to show
        place = " < ".join(
            f"{frame.name}:{frame.lineno}" for frame in reversed(extract_tb(error.__traceback__)[-4:])
        )
        failure = dg.Failure(
            f"{audience.name}: stopped by an unexpected {type(error).__name__} in {place}. Its text is withheld, "
            "since it may quote personal data. Please report the class and the place."
        )
    else:
        return
    failure.__suppress_context__ = True
    raise failure
