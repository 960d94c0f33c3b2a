"""Object stores by their URLs, with the credentials that each platform's own environment variables give."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, MemoryStore, from_url

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

_STATUS = re.compile(r"status code: (\d{3})")
_REASONS: dict[str, "Reason"] = {
    "401": "denied",
    "403": "denied",
    "404": "absent",
    "412": "changed",
}
# What S3 answers to a request, or to a signature, that is meant for another region.
_OTHER_REGION = ("redirect without LOCATION", "AuthorizationHeaderMalformed")
# Where a machine in a cloud asks for credentials; any other has nothing there.
_METADATA_SERVICES = ("//169.254.169.254/", "//metadata.google.internal/")

Reason = Literal["denied", "absent", "changed", "no credentials", "unreachable", "other region", "other"]


def connect(url: str, *, retry_for: timedelta = timedelta(minutes=3)) -> "ObjectStore":
    """Give the objects below a URL, without a request.

    Args:
        url: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://account/container/prefix`, or `memory://`, which is
            forgotten with what is returned; the prefix may be absent.
        retry_for: After this time a request that failed is not tried again. One that hangs fails after 30 seconds.

    Raises:
        ValueError: The URL is of no known kind or names no bucket; nothing of it is in the message.
    """
    retry: RetryConfig = {"retry_timeout": retry_for}
    scheme, _, place = url.partition("://")
    try:
        if scheme in {"s3", "gs"}:
            return from_url(url, retry_config=retry)
        if scheme == "az":
            # obstore's own reading of this URL takes the account for the container
            account, container, prefix = [*place.split("/", 2), "", ""][:3]
            if account and container:
                return AzureStore(container, account_name=account, prefix=prefix or None, retry_config=retry)
        if scheme == "memory":
            return MemoryStore()
    except (BaseError, ValueError):
        pass
    raise ValueError("no URL of an object store")


def without_credentials(url: str) -> str:
    """Give a URL as it may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


@dataclass(frozen=True)
class Refusal:
    """What went wrong with a request, without the words of the exception, which may hold a signed URL.

    Attributes:
        reason: `changed` is the answer to a request for an object as it was before.
        shown: The HTTP status, or else the exception's class.
    """

    reason: Reason
    shown: str

    @classmethod
    def of(cls, error: Exception) -> "Refusal":
        """Take apart an exception of obstore."""
        text = str(error)
        found = _STATUS.search(text)
        shown = f"HTTP {found[1]}" if found else type(error).__name__
        if any(service in text for service in _METADATA_SERVICES):
            return cls("no credentials", shown)
        if isinstance(error, FileNotFoundError):
            return cls("absent", shown)
        if any(sign in text for sign in _OTHER_REGION):
            return cls("other region", shown)
        if found is None:
            return cls("unreachable" if "HTTP error" in text else "other", shown)
        return cls(_REASONS.get(found[1], "other"), shown)
