"""The limit: how many SHA-256 digests the machine can make, by the benchmark that comes with OpenSSL."""

import re
import shutil
import subprocess
from statistics import median

_RATE = re.compile(r"^\+F:\d+:sha256:([0-9.]+)$", re.MULTILINE)
"""Bytes a second in the machine-readable form; with several processes their sum, each one's own line says `Got:`."""


def openssl_version() -> str:
    """The program's name and version, or that it is not there."""
    if shutil.which("openssl") is None:
        return "no openssl"
    told = subprocess.run(["openssl", "version"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return " ".join(told.split()[:2])


def hash_rate(*, input_bytes: int, processes: int, seconds: int, rounds: int) -> float | None:
    """SHA-256 digests a second of inputs of so many bytes, by so many processes: the median of some rounds.

    None when there is no `openssl`, or one without these options, as LibreSSL's.

    Raises:
        ValueError: It told no rate.
    """
    if shutil.which("openssl") is None:
        return None
    command = ["openssl", "speed", "-mr", "-seconds", str(seconds), "-bytes", str(input_bytes)]
    command += ["-multi", str(processes), "-evp", "sha256"]
    told = [
        subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
        for _ in range(rounds)
    ]
    if any(one.returncode for one in told):
        return None
    return median(bytes_per_second(one.stdout) for one in told) / input_bytes


def bytes_per_second(told: str) -> float:
    """The rate in what `openssl speed -mr -evp sha256` tells.

    Raises:
        ValueError: It tells none.
    """
    found = _RATE.search(told)
    if found is None:
        raise ValueError("openssl speed told no rate of sha256: it needs OpenSSL 1.1.1 or newer")
    return float(found[1])
