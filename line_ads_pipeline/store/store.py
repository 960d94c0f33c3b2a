"""The place where snapshots and documents are kept."""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from line_ads_pipeline.store.bucket import Bucket
from line_ads_pipeline.store.chunk import SnapshotChunk
from line_ads_pipeline.store.disk import Bytes, WorkFile
from line_ads_pipeline.store.errors import DocumentDamaged, InvalidName, SnapshotDamaged, SnapshotNotFound
from line_ads_pipeline.store.folder import Folder
from line_ads_pipeline.store.overlap import count_common
from line_ads_pipeline.store.place import Place, Reader, read_exactly
from line_ads_pipeline.store.records import DIGEST_WIDTH, IFA_WIDTH, PARTS, is_ascending
from line_ads_pipeline.store.set_operations import difference, union
from line_ads_pipeline.store.snapshot import Snapshot, Tally, is_digest
from line_ads_pipeline.store.sorting import Merged, merge, spread

_SEGMENT = re.compile(r"[A-Za-z0-9_-](\.?[A-Za-z0-9_-])*")
_DOCUMENT = ".json"


class _SetOperation(Protocol):
    def __call__(self, one: Iterator[bytes], other: Iterator[bytes], /, *, width: int) -> Iterator[Bytes]: ...


class Store:
    """Immutable snapshots of identifiers, and small JSON documents that point to them.

    A snapshot is one file of records of one width in ascending order of members, without duplicates and not
    compressed: SHA-256 digests, or mobile ad ids in ASCII, ordered and told apart whatever their case. Its name is
    the SHA-256 of its bytes, so the same members have the same name, whatever the order of rows or their source.

        snapshots/<audience>/<digest>
        documents/<part>/…/<part>.json
        unfinished/<random>.partial         in a folder only; what a kill leaves here, `prune_snapshots` removes

    Everything appears whole or not at all, and is for the eyes of its owner. Several processes may share a store.

    Args:
        location: A folder, made at the first write, or the URL of an object store: `s3://bucket/prefix`, `gs://…`,
            `az://account/container/prefix`, with credentials from the environment as each platform names them, or
            `memory://`, which lives as long as this object.

    Attributes:
        identity: A short name for the place, the same in all processes that use it under the same path or URL.

    Raises:
        StoreUnavailable: The URL is of no known kind.
    """

    def __init__(self, location: str | Path) -> None:
        is_url = isinstance(location, str) and "://" in location
        self._place: Place = Bucket(str(location)) if is_url else Folder(Path(location))
        place = str(location) if is_url else str(Path(location).absolute())
        self.identity = hashlib.sha256(place.encode()).hexdigest()[:16]

    def write_snapshot(
        self,
        audience: str,
        identified: pl.LazyFrame,
        *,
        record_width: int,
        opt_outs: pl.LazyFrame | None = None,
    ) -> tuple[Snapshot, Tally]:
        """Stream rows into a snapshot; the same members give the same snapshot and renew its age.

        Memory holds some batches, then two parts of 64: about 0.3 GiB for 100 million digests. Local disk holds every
        identifier that is not null once, in files without a name, beside the result.

        Args:
            audience: Whose members they are.
            identified: The columns `identifier`, binary, null where the row was skipped, and `outcome`, an enum
                without nulls. Other columns are not read.
            record_width: Bytes of every identifier: 32 for digests, 36 for mobile ad ids, of which one is kept of
                those equal but for case, the one with the smallest bytes.
            opt_outs: Those who are never to be members, in the same form; read after `identified`, and kept as a
                snapshot of their own.

        Raises:
            InvalidName: The audience's name is no path segment.
            InvalidRecords: An identifier has another form.
            StoreUnavailable: The place cannot be written, or is full.
            TypeError: The lazy frame has other columns.
            ValueError: No record has this width.
            Exception: What the lazy frame raises while it is read, as it is.
        """
        if record_width not in {DIGEST_WIDTH, IFA_WIDTH}:
            raise ValueError(f"a record has {DIGEST_WIDTH} or {IFA_WIDTH} bytes, not {record_width}")
        folder = _path("snapshots", audience)
        with ExitStack() as stack:
            parts = [stack.enter_context(self._place.scratch()) for _ in range(PARTS)]
            outcomes = spread(identified, parts, width=record_width)
            unwanted = [stack.enter_context(self._place.scratch()) for _ in parts if opt_outs is not None]
            opt_out_outcomes = {} if opt_outs is None else spread(opt_outs, unwanted, width=record_width)
            opted_out = self._merged(folder, unwanted, record_width)[1].to_document() if unwanted else None
            merged, snapshot = self._merged(folder, parts, record_width, unwanted=unwanted)
        return snapshot, Tally(
            rows=sum(outcomes.values()),
            outcomes=outcomes,
            distinct=merged.written,
            duplicates=merged.identifiers - merged.distinct,
            held_back=merged.distinct - merged.written,
            opt_outs=opt_out_outcomes,
            opted_out=opted_out,
        )

    def open_chunk(
        self, audience: str, snapshot: Snapshot, *, offset: int = 0, count: int | None = None
    ) -> SnapshotChunk:
        """Open a part of a snapshot as the lines that LINE is sent.

        Args:
            audience: Whose it is.
            snapshot: In this store.
            offset: Of the first record.
            count: Of records; None for all up to the end. Beyond the end there are none.

        Raises:
            SnapshotNotFound: It is not in the store.
            SnapshotDamaged: Its size is not what it should be.
            StoreUnavailable: The place cannot be read.
            ValueError: A negative offset or count.
        """
        if offset < 0 or (count is not None and count < 0):
            raise ValueError("offset and count of a chunk are not negative")
        offset = min(offset, snapshot.count)
        count = snapshot.count - offset if count is None else min(count, snapshot.count - offset)
        reader = self._open(audience, snapshot, stop=(offset + count) * snapshot.record_width)
        return SnapshotChunk(reader, record_width=snapshot.record_width, offset=offset, count=count)

    def holds(self, audience: str, snapshot: Snapshot) -> bool:
        """Tell whether a snapshot is there in its right size, without reading it.

        Raises:
            InvalidName: The audience's name is no path segment.
            StoreUnavailable: The place cannot be read.
        """
        try:
            self._open(audience, snapshot, stop=0).close()
        except (SnapshotNotFound, SnapshotDamaged):
            return False
        return True

    def verify(self, audience: str, snapshot: Snapshot) -> None:
        """Read a whole snapshot and check its size, its order and that its digest is its name.

        Raises:
            SnapshotNotFound: It is not in the store.
            SnapshotDamaged: It is not what was written.
            StoreUnavailable: The place cannot be read.
        """
        digest = hashlib.sha256()
        last = b""
        reader = self._open(audience, snapshot)
        try:
            for block in _blocks(reader, snapshot.record_width):
                digest.update(block)
                if not is_ascending(last + block, width=snapshot.record_width):
                    raise _damaged(audience, snapshot, "is not in order")
                last = block[-snapshot.record_width :]
        finally:
            reader.close()
        if digest.hexdigest() != snapshot.digest:
            raise _damaged(audience, snapshot, "has other bytes than were written")

    def count_common(self, audience: str, one: Snapshot, other: Snapshot) -> int:
        """Count the members that two snapshots share; mobile ad ids are the same member whatever their case.

        Both files are read once, side by side, with some tens of MiB in memory whatever their size; nothing is read
        when they are the same snapshot. What they hold is not verified.

        Args:
            audience: Whose they are.
            one: In this store.
            other: In this store, with records of the same width.

        Raises:
            SnapshotNotFound: One is not in the store.
            SnapshotDamaged: The size of one is not what it should be.
            StoreUnavailable: The place cannot be read.
            ValueError: Their widths differ, so that they cannot share a member.
        """
        if one == other:
            return one.count
        with self._side_by_side(audience, one, other) as (one_blocks, other_blocks):
            return count_common(one_blocks, other_blocks, width=one.record_width)

    def write_difference(self, audience: str, new: Snapshot, *, without: Snapshot) -> Snapshot:
        """Write the snapshot of the members of one that are not in another, with the spelling that the one has.

        As with `count_common`, both files are read side by side, with some tens of MiB in memory whatever their size.

        Args:
            audience: Whose they are.
            new: In this store.
            without: In this store, with records of the same width.

        Raises:
            SnapshotNotFound: One is not in the store.
            SnapshotDamaged: The size of one is not what it should be.
            StoreUnavailable: The place cannot be read or written, or is full.
            ValueError: Their widths differ.
        """
        return self._write_combined(audience, new, without, difference)

    def write_union(self, audience: str, one: Snapshot, other: Snapshot) -> Snapshot:
        """Write the snapshot of the members of either; of two spellings of a mobile ad id, the one with the smallest bytes.

        Args and errors are those of `write_difference`, and so is the memory that it takes.
        """
        return self._write_combined(audience, one, other, union)

    def prune_snapshots(
        self,
        audience: str,
        *,
        keep: Collection[str],
        older_than: datetime,
        among: Collection[str] | None = None,
    ) -> tuple[str, ...]:
        """Remove an audience's snapshots that are neither kept nor recent, and what killed writers left behind.

        Args:
            audience: Whose snapshots.
            keep: Digests that stay whatever their age.
            older_than: A moment with a zone; what was written later stays.
            among: Digests of which to remove; None for any.

        Returns:
            The digests that were removed, sorted.

        Raises:
            ValueError: `older_than` has no zone.
            StoreUnavailable: The place cannot be listed or written.
        """
        if older_than.tzinfo is None:
            raise ValueError("older_than needs a time zone")
        self._place.delete_abandoned()
        folder = _path("snapshots", audience)
        removed = []
        for entry in self._place.entries(folder):
            digest = entry.path.removeprefix(f"{folder}/")
            may_go = is_digest(digest) and digest not in keep and (among is None or digest in among)
            if may_go and entry.modified < older_than:
                self._place.delete(entry.path)
                removed.append(digest)
        return tuple(sorted(removed))

    def read_document(self, *parts: str) -> dict[str, Any] | None:
        """Give a document, or None when there is none of this name.

        Raises:
            InvalidName: A part is no path segment.
            DocumentDamaged: It holds no JSON object.
            StoreUnavailable: The place cannot be read.
        """
        content = self._place.read(_document_path(*parts))
        if content is None:
            return None
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise DocumentDamaged(
                f"the document {'/'.join(parts)} holds no JSON object: restore it from a backup of the store, or "
                "delete it to begin anew"
            )
        return document

    def write_document(self, document: Mapping[str, Any], *parts: str) -> None:
        """Write a document in one step, in place of the one there was, and bring it to the disk.

        Raises:
            InvalidName: A part is no path segment.
            StoreUnavailable: The place cannot be written, or is full.
            TypeError: A value that JSON has not.
        """
        path = _document_path(*parts)
        content = json.dumps(dict(document), ensure_ascii=False, allow_nan=False).encode()
        with self._place.new_file() as file:
            file.write(content)
            file.publish(path)

    def list_documents(self, *prefix: str) -> tuple[tuple[str, ...], ...]:
        """Give the parts of every document below a prefix, sorted.

        Raises:
            InvalidName: A part is no path segment.
            StoreUnavailable: The place cannot be listed.
        """
        return tuple(
            sorted(
                tuple(entry.path.removesuffix(_DOCUMENT).split("/")[1:])
                for entry in self._place.entries(_path("documents", *prefix))
                if entry.path.endswith(_DOCUMENT)
            )
        )

    @contextmanager
    def _side_by_side(
        self, audience: str, one: Snapshot, other: Snapshot
    ) -> Iterator[tuple[Iterator[bytes], Iterator[bytes]]]:
        """The blocks of two snapshots of one width."""
        if one.record_width != other.record_width:
            raise ValueError(
                f"snapshots of records of {one.record_width} and {other.record_width} bytes share no member"
            )
        with (
            closing(self._open(audience, one)) as one_reader,
            closing(self._open(audience, other)) as other_reader,
        ):
            yield _blocks(one_reader, one.record_width), _blocks(other_reader, one.record_width)

    def _write_combined(
        self, audience: str, one: Snapshot, other: Snapshot, operation: _SetOperation
    ) -> Snapshot:
        """Write what a set operation makes of two snapshots."""
        digest, size, width = hashlib.sha256(), 0, one.record_width
        with self._side_by_side(audience, one, other) as blocks, self._place.new_file() as file:
            for records in operation(*blocks, width=width):
                digest.update(records)
                file.write(records)
                size += len(records)
            file.publish(f"{_path('snapshots', audience)}/{digest.hexdigest()}")
        return Snapshot(digest=digest.hexdigest(), record_width=width, count=size // width)

    def _merged(
        self, folder: str, parts: Sequence[WorkFile], width: int, *, unwanted: Sequence[WorkFile] = ()
    ) -> tuple[Merged, Snapshot]:
        """Publish the members of parts."""
        with self._place.new_file() as file:
            merged = merge(parts, file, width=width, unwanted=unwanted)
            file.publish(f"{folder}/{merged.digest}")
        return merged, Snapshot(digest=merged.digest, record_width=width, count=merged.written)

    def _open(self, audience: str, snapshot: Snapshot, *, stop: int | None = None) -> Reader:
        reader = self._place.open(f"{_path('snapshots', audience)}/{snapshot.digest}", stop=stop)
        if reader is None:
            raise SnapshotNotFound(
                f"the store has no snapshot {snapshot.digest} of audience {audience}: materialise hashed_identifiers "
                "again, or check that LINE_ADS_STORE is where it was written"
            )
        if reader.size != snapshot.count * snapshot.record_width:
            reader.close()
            raise _damaged(audience, snapshot, f"has {reader.size:,} bytes")
        return reader


def _blocks(reader: Reader, width: int) -> Iterator[bytes]:
    step = reader.block_bytes // width * width
    for offset in range(0, reader.size, step):
        yield read_exactly(reader, offset, min(step, reader.size - offset))


def _damaged(audience: str, snapshot: Snapshot, finding: str) -> SnapshotDamaged:
    return SnapshotDamaged(
        f"snapshot {snapshot.digest} of audience {audience} {finding}, not {snapshot.count:,} members as recorded: "
        "materialise hashed_identifiers again, which writes it anew"
    )


def _document_path(*parts: str) -> str:
    if not parts:
        raise InvalidName("a document needs a name of at least one part")
    return _path("documents", *parts) + _DOCUMENT


def _path(*segments: str) -> str:
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise InvalidName(
                f"{segment!r} cannot be a name in the store: use letters, digits, '_', '-' and single dots inside"
            )
    return "/".join(segments)
