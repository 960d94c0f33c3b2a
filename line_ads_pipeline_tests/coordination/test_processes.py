"""Whether a process is known to be dead."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from line_ads_pipeline.coordination import processes
from line_ads_pipeline.coordination.processes import Process

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells about processes"
)


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def described(pid: int) -> Process:
    return replace(Process.current(), pid=pid, started=processes._look(pid).started)


def is_known_dead(process: Process) -> bool:
    return process.is_known_dead(seen_from=Process.current().host)


def test_a_process_that_runs_is_not_dead(child):
    assert not is_known_dead(Process.current())
    assert not is_known_dead(described(child.pid))


def test_a_process_that_was_killed_is_dead_before_its_parent_took_notice(child):
    process = described(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert is_known_dead(process)


def test_a_process_that_ended_is_dead(child):
    process = described(child.pid)
    child.kill()
    child.wait()

    assert is_known_dead(process)


def test_another_process_with_the_number_of_a_dead_one_is_told_apart_by_its_start():
    assert is_known_dead(replace(Process.current(), started="1"))


@pytest.mark.parametrize(
    "unknown",
    [{"host": "another"}, {"started": ""}],
    ids=["of another host", "without a start"],
)
def test_what_cannot_be_seen_is_not_known_to_be_dead(child, unknown):
    process = replace(described(child.pid), **unknown)
    child.kill()
    child.wait()

    assert not is_known_dead(process)


def test_a_process_that_proc_hides_is_not_known_to_be_dead(child, monkeypatch):
    process = described(child.pid)
    monkeypatch.setattr(processes, "_look", lambda _pid: None)

    assert not is_known_dead(process)


def test_a_process_of_another_user_exists_though_it_takes_no_signal(child, monkeypatch):
    def refuse(_pid, _signal):
        raise PermissionError

    process = described(child.pid)
    monkeypatch.setattr(processes, "_look", lambda _pid: None)
    with monkeypatch.context() as patched:  # the child is still to be killed
        patched.setattr(os, "kill", refuse)

        assert not is_known_dead(process)


def test_without_proc_a_host_is_known_by_its_name_and_processes_never_by_their_start(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    process = Process.current()

    assert process.host == process.host_name
    assert process.started == ""
    assert not is_known_dead(process)


def test_the_name_of_a_program_may_hold_brackets_and_spaces(monkeypatch, tmp_path):
    (tmp_path / "7").mkdir()
    rest = " ".join(str(number) for number in range(4, 53))
    (tmp_path / "7" / "stat").write_text(f"7 (a) Z b) S {rest}")
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    assert processes._look(7) == processes._Look(is_dead=False, started="22")
