"""SHA-256 digests: made, recognised, and turned into bytes."""

import binascii
import hashlib
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.rules import SHA256_BYTES

_HEX_DIGITS: Final = 2 * SHA256_BYTES
_HASH_OF_EMPTY: Final = hashlib.sha256(b"").hexdigest()

_SHA256_HEX: Final = f"^[0-9a-f]{{{_HEX_DIGITS}}}$"
_OTHER_HASH: Final = (
    r"(?i)^(?:(?:0x|\\x|md5:|sha1:|sha256:)?[0-9a-f]{32,128}"
    r"|[a-z0-9+/_-]{22}==|[a-z0-9+/_-]{27}=|[a-z0-9+/_-]{43}=?)$"
)


Digests = NDArray[np.uint8]
"""Digests, one below the other: an array of n rows and 32 columns."""


def sha256(texts: pl.Series) -> Digests:
    """The SHA-256 of each text's UTF-8 bytes; there must be no NULL.

    By Apache DataFusion, whose kernel gives bytes: hex digits, and bytes made of them, would take three times as long.
    A context of its own for each batch costs a millisecond and leaves nothing of the texts behind. A batch has less
    than 67 million texts, whose digests Arrow's 32-bit offsets can count.
    """
    # 34 MiB that only a run needs, not whatever looks at definitions
    from datafusion import SessionConfig, SessionContext, col, functions  # noqa: PLC0415

    config = SessionConfig().with_target_partitions(1).with_batch_size(max(1, len(texts)))
    # there is nothing to optimise in a query of one function, and looking for it takes half of the rest
    config = config.set("datafusion.optimizer.max_passes", "0")
    frame = SessionContext(config).from_arrow(texts.to_frame("text"))
    # collect() lets go of the interpreter's lock; handing the frame to Polars would not
    batches = frame.select(functions.sha256(col("text"))).collect()
    digests = [_digests(_bytes_of(batch.column(0))) for batch in batches]
    return digests[0] if len(digests) == 1 else np.concatenate([_digests(b""), *digests])


def is_sha256(lower_text: pl.Expr) -> pl.Expr:
    """Whether a lower-case text is the hex form of a SHA-256 digest."""
    return lower_text.str.contains(_SHA256_HEX)


def _is_other_hash(text: pl.Expr) -> pl.Expr:
    """Whether a text has the shape of a hash in another form: MD5, SHA-1, base64, 63 digits."""
    return text.str.contains(_OTHER_HASH)


def given_digest(rest: pl.Expr) -> pl.Expr:
    """The digests among lower-case texts that are no identifier by themselves; NULL for the others."""
    return pl.when(is_sha256(rest) & (rest != _HASH_OF_EMPTY)).then(rest)


def outcome_of_rest(rest: pl.Expr, text: pl.Expr, otherwise: pl.Expr) -> pl.Expr:
    """Why a text is no identifier, or that it is a digest already.

    Args:
        rest: The trimmed lower-case text, NULL where it was understood.
        text: The trimmed text itself.
        otherwise: The outcome of what is neither NULL, blank nor a hash.
    """
    return (
        pl.when(text.is_null())
        .then(outcome("null"))
        .when(rest == "")
        .then(outcome("blank"))
        .when(rest == _HASH_OF_EMPTY)
        .then(outcome("hash_of_empty_string"))
        .when(is_sha256(rest))
        .then(outcome("already_hashed"))
        .when(_is_other_hash(rest))
        .then(outcome("unknown_hash"))
        .otherwise(otherwise)
    )


def digests_of_hex(texts: pl.Series) -> Digests:
    """The bytes of digests of 64 hex digits each; there must be no NULL. One C call over the batch's whole buffer."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    first, last = array.offset * _HEX_DIGITS, (array.offset + len(array)) * _HEX_DIGITS
    return _digests(binascii.unhexlify(memoryview(array.buffers()[2] or b"")[first:last]))


def as_column(digests: Digests, known: NDArray[np.bool_]) -> pl.Series:
    """Digests as a Polars column, with NULL where one is not known."""
    mask = pa.py_buffer(np.packbits(known, bitorder="little"))
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(SHA256_BYTES), len(digests), [mask, pa.py_buffer(digests)]
    )
    return pl.Series(fixed, dtype=pl.Binary)


def _bytes_of(array: pa.Array) -> memoryview:
    """The bytes of all values of an array of binary values, one behind the other."""
    _, offsets, values = array.cast(pa.binary()).buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)
    return memoryview(values or b"")[ends[array.offset] : ends[array.offset + len(array)]]


def _digests(data: bytes | memoryview) -> Digests:
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, SHA256_BYTES)
