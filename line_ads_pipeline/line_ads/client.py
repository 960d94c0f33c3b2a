"""The calls of the LINE Ads API for custom audiences."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import SEEK_END, SEEK_SET
from types import TracebackType
from typing import IO, Protocol, Self, cast
from urllib.parse import quote

import httpx

from line_ads_pipeline.line_ads.connection import DEFAULT_TIMEOUT, Connection
from line_ads_pipeline.line_ads.errors import AudienceNotFound, MissingCredentials
from line_ads_pipeline.line_ads.models import (
    FUNCTION_TYPES,
    AudiencePage,
    CustomAudience,
    IdType,
    UploadAction,
    UploadJob,
    overlap_from_json,
    upload_jobs_from_json,
)
from line_ads_pipeline.line_ads.pace import EvenPace, Pace
from line_ads_pipeline.line_ads.refusals import Subject
from line_ads_pipeline.line_ads.signing import LineAdsAuth

FILE_SIZE_LIMIT = 62_914_560
"""Bytes that LINE accepts in one uploaded file (60 MiB)."""

_FILE_NAME_LIMIT = 64
NAME_LIMIT = 120
"""Characters of an audience's name, from LINE's specification."""
_COMPARED_LIMIT = 4
PIECE_BYTES = 1 << 20
"""Bytes of a file that are sent at once, at most: each piece has its price."""
_PAGE_SIZE = 100


class UploadedFile(Protocol):
    """What an upload needs of a binary file; one with `read1` as well is read by that."""

    def read(self, size: int, /) -> bytes:
        """Give at most `size` bytes; none at the end only."""

    def seek(self, offset: int, whence: int, /) -> int:
        """Go to a position, and give it."""

    def tell(self) -> int:
        """Give the position."""


class LineAdsClient:
    """A connection to the LINE Ads API with one access key; safe to share between threads.

    Every request is signed, paced, and logged at INFO on the logger `line_ads_pipeline.line_ads` with the
    time, method, endpoint and status, as LINE asks integrators to. Calls that may safely be repeated are,
    after HTTP 429 and 5xx, network errors and unreadable answers; `upload` only after a failure that
    certainly changed nothing.

    Example:
        >>> with LineAdsClient(access_key="...", secret_key="...") as client:  # doctest: +SKIP
        ...     audiences = list(client.list_audiences("A10000000001"))

    Args:
        access_key: Surrounding white space, as secret files have it, is dropped.
        secret_key: As the access key.
        base_url: The root of the API; its path is part of what is signed.
        requests_per_second: Of all calls together. LINE takes 10 per access key.
        retry_for: Seconds for which one call is repeated, waiting included. A server that asks for a longer
            pause than what is left gets no further request.
        timeout: Of a single request, in seconds or apart for connecting, writing, reading.
        clock: The current time, with a time zone.
        sleep: Waits the given seconds.
        pace: Takes the place of `requests_per_second`, where requests are counted beyond this client.
        waiting_pace: Of repeated looks at upload jobs, in addition: so that many audiences that wait for LINE leave
            most of the rate to those that upload. None for no such limit.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings, all but the keys with a default
        self,
        *,
        access_key: str,
        secret_key: str,
        base_url: str = "https://ads.line.me/api",
        requests_per_second: float = 8.0,
        retry_for: float = 300.0,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        pace: Pace | None = None,
        waiting_pace: Pace | None = None,
    ) -> None:
        self._keys = {
            "LINE_ADS_ACCESS_KEY": access_key.strip(),
            "LINE_ADS_SECRET_KEY": secret_key.strip(),
        }
        auth = LineAdsAuth(
            access_key=self._keys["LINE_ADS_ACCESS_KEY"],
            secret_key=self._keys["LINE_ADS_SECRET_KEY"],
            clock=clock,
        )
        self._waiting_pace = waiting_pace
        self._connection = Connection(
            base_url=base_url,
            auth=auth,
            timeout=timeout,
            pace=pace or EvenPace(requests_per_second, sleep=sleep),
            retry_for=retry_for,
            clock=clock,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.url!r})"

    def __enter__(self) -> Self:
        """Open the connection pool; nothing is sent yet.

        Raises:
            MissingCredentials: A key is empty.
        """
        missing = [name for name, key in self._keys.items() if not key]
        if missing:
            raise MissingCredentials(f"no LINE Ads credentials: {' and '.join(missing)} not set")
        self._connection.open()
        return self

    def __exit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def list_audiences(self, ad_account_id: str, *, name: str | None = None) -> Iterator[CustomAudience]:
        """The audiences of an ad account, the newest first; pages are fetched as the iterator is drawn.

        Args:
            ad_account_id: The ad account.
            name: Asks LINE to search for it; names that merely contain it come too, so compare them.

        Raises:
            LineAdsError: Any of its kinds that concern credentials, the ad account or the connection.
        """
        path = f"{_account(ad_account_id)}/custom-audiences"
        search = {} if name is None else {"name": name}
        seen: set[str] = set()
        for number in itertools.count(1):
            page = self._connection.call(
                "GET",
                path,
                Subject(ad_account_id=ad_account_id),
                AudiencePage.from_json,
                params={
                    **search,
                    "page": number,
                    "size": _PAGE_SIZE,
                    "sortKey": "created",
                    "sortOrder": "desc",
                },
            )
            # An audience made meanwhile pushes the last ones of this page to the top of the next.
            yield from (audience for audience in page.audiences if audience.id not in seen)
            seen.update(audience.id for audience in page.audiences)
            if not page.has_next:
                return

    def upload(  # noqa: PLR0913 - the fields of LINE's upload, keyword-only
        self,
        ad_account_id: str,
        *,
        action: UploadAction,
        id_type: IdType,
        file: UploadedFile,
        file_name: str,
        audience_id: str | None = None,
        name: str | None = None,
        before_each_attempt: Callable[[], None] | None = None,
    ) -> CustomAudience:
        """Hand a file of identifiers to LINE, which works on it as an upload job.

        The file is streamed, in pieces of at most 1 MiB. When this raises an error with `may_have_taken_effect`,
        LINE's audiences and upload jobs tell whether the file arrived; it was not sent a second time.

        Args:
            ad_account_id: The ad account.
            action: `REPLACE` removes all who are not in the file.
            id_type: What each line is. One audience holds one type.
            file: Open for reading, seekable, at most 62,914,560 bytes. It is read from its start, stays open,
                and needs no file descriptor.
            file_name: ASCII, at most 64 characters; LINE's upload jobs carry it.
            audience_id: The audience to change.
            name: Instead of `audience_id`: of the audience to make, at most 120 characters.
            before_each_attempt: Called when all waiting is over; raises what keeps the file from being sent.

        Raises:
            ValueError: An argument breaks a rule above; nothing was sent.
            AudienceNotFound: Nothing was changed.
            AudienceTypeMismatch: Nothing was changed.
            RejectedFile: Nothing was changed.
            RateLimited: Still so after `retry_for` seconds; nothing was changed.
            LineAdsError: Any other kind.
        """
        path = f"{_account(ad_account_id)}/custom-audiences/upload"
        if action not in ("ADD", "REPLACE") or id_type not in FUNCTION_TYPES:
            raise ValueError(f"LINE knows no upload of action {action!r} and identifier type {id_type!r}")
        if audience_id is not None and name is None:
            _segment(audience_id)
            destination = {"id": audience_id}
        elif name is not None and audience_id is None:
            _check_name(name)
            destination = {"name": name}
        else:
            raise ValueError("an upload needs either an audience_id or the name of the audience to make")
        if not (file_name.isascii() and file_name.isprintable() and 0 < len(file_name) <= _FILE_NAME_LIMIT):
            raise ValueError(f"the file name {file_name!r} is not 1 to {_FILE_NAME_LIMIT} ASCII characters")
        size = file.seek(0, SEEK_END)
        if not 0 < size <= FILE_SIZE_LIMIT:
            raise ValueError(f"the file {file_name} has {size:,} bytes; LINE takes 1 to {FILE_SIZE_LIMIT:,}")
        return self._connection.call(
            "POST",
            path,
            Subject(ad_account_id=ad_account_id, audience_id=audience_id, action=action, id_type=id_type),
            CustomAudience.from_json,
            repeatable=False,
            before_each_attempt=before_each_attempt,
            data={**destination, "action": action, "idType": id_type},
            files={"file": (file_name, cast("IO[bytes]", _Seekable(file)), "text/plain")},
        )

    def upload_jobs(
        self, ad_account_id: str, audience_id: str, *, again: bool = False
    ) -> tuple[UploadJob, ...]:
        """What LINE has done or is doing with the files uploaded to an audience, in LINE's order.

        LINE forbids asking for ids that do not exist: take the id from an upload or from the list.

        Args:
            ad_account_id: The ad account.
            audience_id: In it.
            again: Nothing but time has passed since the last look, so that this one may wait for its turn.

        Raises:
            AudienceNotFound: The audience is gone.
            LineAdsError: Any other kind.
        """
        if again and self._waiting_pace is not None:
            self._waiting_pace.wait()
        return self._connection.call(
            "GET",
            f"{_audience(ad_account_id, audience_id)}/upload-job",
            Subject(ad_account_id=ad_account_id, audience_id=audience_id),
            upload_jobs_from_json,
        )

    def rename(self, ad_account_id: str, audience_id: str, *, name: str) -> CustomAudience:
        """Give an audience another name, of at most 120 characters.

        Raises:
            ValueError: The name is empty or too long; nothing was sent.
            AudienceNotFound: The audience is gone.
            RejectedRequest: LINE does not accept the name.
            LineAdsError: Any other kind.
        """
        _check_name(name)
        subject = Subject(ad_account_id=ad_account_id, audience_id=audience_id)
        renamed = self._connection.call(
            "POST",
            _audience(ad_account_id, audience_id),
            subject,
            lambda answer: None if answer is None else CustomAudience.from_json(answer),
            json={"name": name},
        )
        if renamed is not None:
            return renamed
        # What this call answers with is not documented; the list always tells.
        for audience in self.list_audiences(ad_account_id, name=name):
            if audience.id == audience_id:
                return audience
        raise AudienceNotFound(
            f"audience {audience_id} not found in ad account {ad_account_id} after its renaming"
        )

    def delete(self, ad_account_id: str, *audience_ids: str) -> None:
        """Delete audiences, in one request each so that an error names the one that failed.

        Raises:
            ValueError: No audience is given; nothing was sent.
            AudienceNotFound: The audience was gone before; those named ahead of it are deleted.
            LineAdsError: Any other kind; those named ahead are deleted.
        """
        if not audience_ids:
            raise ValueError("an audience to delete is needed")
        for audience_id, path in [(each, _audience(ad_account_id, each)) for each in audience_ids]:
            subject = Subject(ad_account_id=ad_account_id, audience_id=audience_id)
            self._connection.call("DELETE", path, subject, lambda _: None)

    def overlap(
        self, ad_account_id: str, *, base_id: str, compared_ids: Sequence[str]
    ) -> Mapping[str, float]:
        """How much of an audience is also in others, as LINE estimates it: a rate by compared id.

        Args:
            ad_account_id: The ad account.
            base_id: The audience to compare.
            compared_ids: 1 to 4 audiences.

        Raises:
            ValueError: Other than 1 to 4 audiences are to be compared; nothing was sent.
            AudienceNotFound: One of them is gone.
            LineAdsError: Any other kind.
        """
        if not 1 <= len(compared_ids) <= _COMPARED_LIMIT:
            raise ValueError(
                f"LINE compares 1 to {_COMPARED_LIMIT} audiences with one, not {len(compared_ids)}"
            )
        return self._connection.call(
            "POST",
            f"{_account(ad_account_id)}/custom-audiences/overlapping-audiences",
            Subject(ad_account_id=ad_account_id, audience_id=" or ".join([base_id, *compared_ids])),
            overlap_from_json,
            json={"baseId": base_id, "comparedIds": list(compared_ids)},
        )


class _Seekable:
    """Hides a file descriptor from httpx, whose size is not that of a compressed or unflushed file.

    It gives larger pieces than httpx asks for, since each has its price, and from a file that has `read1` what is at
    hand at once: of a snapshot whole lines, which need not be cut and joined.
    """

    def __init__(self, file: UploadedFile) -> None:
        self._file = file
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)

    def read(self, size: int) -> bytes:
        return self._read(max(size, PIECE_BYTES))

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _account(ad_account_id: str) -> str:
    return f"v3/adaccounts/{_segment(ad_account_id)}"


def _audience(ad_account_id: str, audience_id: str) -> str:
    return f"{_account(ad_account_id)}/custom-audiences/{_segment(audience_id)}"


def _segment(some_id: str) -> str:
    if not some_id.strip(". "):
        raise ValueError(f"{some_id!r} is not the id of an ad account or audience")
    return quote(some_id, safe="")


def _check_name(name: str) -> None:
    if not (name.strip() and len(name) <= NAME_LIMIT):
        raise ValueError(f"an audience name has 1 to {NAME_LIMIT} characters, not {len(name)}")
