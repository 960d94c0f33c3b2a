"""The simulator starts and stops at once, leaves nothing behind, and can be run until a signal."""

import errno
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from line_ads_pipeline.simulator import Fault, PortInUseError, Simulator


def test_starting_and_stopping_is_fast():
    durations = []
    for _ in range(5):
        begun = time.perf_counter()
        with Simulator():
            pass
        durations.append(time.perf_counter() - begun)
    assert min(durations) < 0.2


def test_stopping_leaves_no_thread_and_no_listener():
    before = set(threading.enumerate())
    with Simulator() as simulator, httpx.Client(verify=False) as http:
        assert http.get(simulator.url).status_code == 200
    assert set(threading.enumerate()) <= before
    with httpx.Client(verify=False) as http, pytest.raises(httpx.ConnectError):
        http.get(simulator.url)


def test_stopping_does_not_wait_for_requests_under_way(start, spec):
    line = start()
    line.simulator.inject(Fault(call="list", delay_seconds=3600))
    errors = []

    def request():
        try:
            line.listing()
        except httpx.TransportError as error:
            errors.append(error)

    waiting = threading.Thread(target=request)
    waiting.start()
    spec.wait_until(lambda: any(record.fault for record in line.simulator.requests))
    line.simulator.__exit__(None, None, None)
    waiting.join(timeout=5)
    assert len(errors) == 1


def test_answers_are_sent_without_delay(start):
    """Nagle's algorithm would hold back each answer's body for 40 milliseconds."""
    line = start()
    line.listing()
    [connection] = line.simulator._server.server_state.connections
    assert connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_simulator_that_is_started_again_goes_on_at_the_same_address(start):
    line = start()
    line.create(name="people")
    line.simulator.__exit__(None, None, None)
    with pytest.raises(httpx.ConnectError):
        line.listing()
    with line.simulator:
        assert line.names() == ["people"]


def test_a_busy_port_is_a_clear_error():
    with Simulator() as simulator:
        port = int(simulator.url.rpartition(":")[2])
        with (
            pytest.raises(PortInUseError, match=f"127.0.0.1:{port}.*choose another port") as error,
            Simulator(port=port),
        ):
            pass
    assert error.value.errno == errno.EADDRINUSE


def test_a_port_can_be_chosen():
    with Simulator() as simulator:
        port = int(simulator.url.rpartition(":")[2])
    with Simulator(port=port) as simulator:
        assert simulator.base_url == f"http://127.0.0.1:{port}/api"


def test_the_secret_key_is_in_no_repr():
    simulator = Simulator(secret_key="very-secret")
    assert "very-secret" not in repr(simulator._state.settings)


SCRIPT = """
from line_ads_pipeline.simulator import Simulator, run_simulator
run_simulator(Simulator(), on_ready=lambda simulator: print(simulator.url, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_it_runs_until_a_signal_and_prints_nothing_itself(number):
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        url = process.stdout.readline().strip()
        with httpx.Client(verify=False) as http:
            assert http.get(url).status_code == 200
            process.send_signal(number)
            assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


def test_clients_in_many_threads_are_served(start):
    line = start()
    audience_id = line.create()

    def rename(number):
        return line.http.post(line.url(f"/{audience_id}"), json={"name": f"n{number}"}).status_code

    with ThreadPoolExecutor(5) as threads:
        statuses = list(threads.map(rename, range(50)))
    assert statuses == [200] * 50
    assert sorted(record.number for record in line.simulator.requests) == list(range(1, 52))
