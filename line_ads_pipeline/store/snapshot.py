"""What is known of a snapshot, and of the rows it was made from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from line_ads_pipeline.store.records import DIGEST_WIDTH, IFA_WIDTH, line_bytes

_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(name: str) -> bool:
    """Tell whether a name is that of a snapshot."""
    return _DIGEST.fullmatch(name) is not None


@dataclass(frozen=True)
class Snapshot:
    """An immutable set of members, addressed by the digest of its bytes.

    Attributes:
        digest: SHA-256 of the file in lower-case hex, as `sha256sum` prints it.
        record_width: Bytes of a record: 32 for SHA-256 digests, 36 for mobile ad ids.
        count: Of members.

    Raises:
        ValueError: A value that no snapshot has.
    """

    digest: str
    record_width: int
    count: int

    def __post_init__(self) -> None:
        if not is_digest(self.digest) or self.record_width not in {DIGEST_WIDTH, IFA_WIDTH} or self.count < 0:
            raise ValueError(f"no snapshot is like {self}")

    @property
    def line_bytes(self) -> int:
        """Bytes of one member in an upload, with its line end."""
        return line_bytes(self.record_width)

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {"digest": self.digest, "record_width": self.record_width, "count": self.count}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` gave.

        Raises:
            KeyError: A field is missing.
            ValueError: A value that no snapshot has.
        """
        return cls(digest=document["digest"], record_width=document["record_width"], count=document["count"])


@dataclass(frozen=True)
class Tally:
    """What became of the rows of a segment: `rows == distinct + held_back + duplicates + skipped`.

    Attributes:
        rows: All of them.
        outcomes: Rows of each outcome, in the order of the outcomes, also of those that did not occur.
        distinct: Members of the snapshot.
        duplicates: Rows whose member another row had already brought.
        held_back: Members that were left out of the snapshot, since they have opted out.
        opt_outs: Rows of each outcome among those who have opted out; none where nobody was to be left out.
        opted_out: The snapshot of those, as `Snapshot.to_document` gives it.
    """

    rows: int
    outcomes: Mapping[str, int]
    distinct: int
    duplicates: int
    held_back: int = 0
    opt_outs: Mapping[str, int] = field(default_factory=dict)
    opted_out: Mapping[str, Any] | None = None

    @property
    def skipped(self) -> int:
        """Rows without an identifier, for whatever reason."""
        return self.rows - self.distinct - self.held_back - self.duplicates
