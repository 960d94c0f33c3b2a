"""The e-mail rules once more, in plain Python: as slow as a loop, and what the pipeline is compared with."""

import hashlib
import re
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.harness import Stopwatch
from benchmarks.loops import batches_of
from benchmarks.pipeline import digest_of

ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
ADDRESS = (
    rf"{ATOM}(?:\.{ATOM})*@(?:{LABEL}\.)+{LABEL}"
    rf"|{ATOM}(?:\.+{ATOM})*\.*@(?:docomo|ezweb)\.ne\.jp"
)
"""The grammar of the e-mail rules, for the contenders that follow it."""
MOST_CHARACTERS = 120
DIGEST = "[0-9a-f]{64}"
DIGEST_OF_NOTHING = hashlib.sha256(b"").hexdigest()
AROUND = " \t\n\v\f\r\x85\xa0\u3000\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""White space and invisible marks."""

_ADDRESS = re.compile(ADDRESS, re.ASCII)
_DIGEST = re.compile(DIGEST)


def careful_emails(stopwatch: Stopwatch, people: str, rows: str) -> dict[str, Any]:
    """Contender: the same loop with all the rules of the pipeline, so that members are the same."""
    seen = set()
    with tempfile.TemporaryDirectory(dir=Path(people).parent) as folder:
        path = Path(folder, "members.txt")
        with stopwatch, path.open("w") as file:
            for values in batches_of(people, int(rows)):
                for value in values:
                    if value is None:
                        continue
                    composed = value if value.isascii() else unicodedata.normalize("NFKC", value)
                    text = composed.strip(AROUND).lower()
                    if _ADDRESS.fullmatch(text) and len(text) <= MOST_CHARACTERS:
                        digest = hashlib.sha256(text.encode()).hexdigest()
                    elif _DIGEST.fullmatch(text) and text != DIGEST_OF_NOTHING:
                        digest = text
                    else:
                        continue
                    if digest not in seen:
                        seen.add(digest)
                        file.write(f"{digest}\n")
        lines = pl.scan_csv(path, has_header=False, new_columns=["identifier"])
        digest = digest_of(lines.select(pl.col("identifier").str.decode("hex")), Path(folder))
    return {"members": len(seen), "digest": digest}
