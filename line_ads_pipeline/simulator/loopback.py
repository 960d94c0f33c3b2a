"""A uvicorn server on a loopback socket that starts and stops at once and can drop connections."""

import asyncio
import socket
import threading

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HOST = "127.0.0.1"
"""The only address that is listened on: the simulator knows no other protection for what it holds."""

# Longer than clients keep an idle connection, so that none is closed in the moment it is used again.
_KEEP_ALIVE_SECONDS = 75


class PortInUseError(OSError):
    """Something else listens on the wanted port, or it may not be listened on."""


def listen(port: int) -> socket.socket:
    """Listen on a port of this machine; 0 for any free one.

    Raises:
        PortInUseError: It is not to be had.
    """
    # asyncio turns Nagle's algorithm off, 40 milliseconds an answer, only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {HOST}:{port} ({error.strerror}): stop what runs there, or choose another port"
        )
        raise PortInUseError(error.errno, message) from error
    return listener


class LoopbackServer(uvicorn.Server):
    """Serves an application in a thread of its own, on a socket that listens already.

    A request's `scope["state"]["transport"]` is its connection: only closing that gives no answer.
    """

    def __init__(self, application: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self, listener: socket.socket) -> None:
        """Start serving; returns once requests are taken."""
        self._thread = threading.Thread(
            target=self.run, args=([listener],), name="line-ads-simulator", daemon=True
        )
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close the socket and every connection, whatever its request is doing; returns once done."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Run as uvicorn does, but never leave `start` waiting for a server that failed."""
        try:
            super().run(sockets)
        finally:
            self._ready.set()

    async def main_loop(self) -> None:
        """Wait for the end; uvicorn's own loop would look for it every 100 milliseconds only."""
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything now; uvicorn's own way waits for idle clients."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        requests = list(self.server_state.tasks)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()
        for listener in sockets or []:
            listener.close()


class _Protocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
