"""Which process has a lease, and whether it is still there."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process on some host.

    Attributes:
        host: Tells hosts and containers apart, and one host before and after a restart.
        host_name: The host's name, for people.
        pid: Its number on that host.
        started: When it began, in the host's own unit, since numbers are used again; empty where that is not known.
    """

    host: str
    host_name: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> Self:
        """The process that asks."""
        name = socket.gethostname()
        found = _look(os.getpid())
        return cls(host=_host(name), host_name=name, pid=os.getpid(), started=found.started if found else "")

    def is_known_dead(self, *, seen_from: str) -> bool:
        """Whether the process is certainly gone; one of another host never is.

        Args:
            seen_from: The `host` of the process that asks.
        """
        if self.host != seen_from or not self.started:
            return False
        found = _look(self.pid)
        if found is None:
            return not _exists(self.pid)
        return found.is_dead or found.started != self.started


@dataclass(frozen=True)
class _Look:
    is_dead: bool
    started: str


def _host(name: str) -> str:
    """Give what two processes have in common that can see each other by their numbers."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:  # no Linux: a process there has no known start either, and is never known to be dead
        return name
    return f"{boot} {name} {namespace}"


def _look(pid: int) -> _Look | None:
    """Look a process up in proc(5), whose `stat` gives its state and start; None where that cannot be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name in brackets before may hold anything
    return _Look(is_dead=fields[0] in "ZXx", started=fields[19])


def _exists(pid: int) -> bool:
    """Tell a process that ended from one that /proc, mounted with `hidepid`, does not show."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
