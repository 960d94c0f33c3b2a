"""Reads that any thread may end: each is a loan of a connection, and what goes wrong with it is our own error."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from line_ads_pipeline.warehouse.errors import WarehouseClosed, WarehouseError, raise_alone

CLOSED = "The warehouse is closed: read its lazy frames inside its `with` block."


class Loan(ABC):
    """A cursor and its stream, used by one thread and closed by whichever thread comes first.

    Polars reads in threads of its own and may keep an abandoned stream for a while. Closing must not wait for that.
    """

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Cancel what runs and close the stream and the cursor, once."""
        while not self._busy.acquire(timeout=0.005):
            self._interrupt()
        try:
            if not self._closed:
                self._closed = True
                self._release()
        finally:
            self._busy.release()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._busy:
            if self._closed:
                raise WarehouseClosed(CLOSED)
            yield

    @abstractmethod
    def _interrupt(self) -> None:
        """Cancel what runs, if anything does, from another thread."""

    @abstractmethod
    def _release(self) -> None:
        """Close the stream and the cursor."""


LoanT = TypeVar("LoanT", bound=Loan)
FaultT = TypeVar("FaultT")


class Lender(ABC, Generic[LoanT, FaultT]):
    """What lends cursors, until it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loans: set[LoanT] = set()
        self._closed = False

    @contextmanager
    def lend(
        self, source: str, *, explain: Callable[[FaultT], WarehouseError | None] | None = None
    ) -> Iterator[LoanT]:
        """Lend a cursor, and raise what goes wrong with it as our own error.

        Args:
            source: How the source is called in an error.
            explain: Gives a more telling error for a fault, or None.

        Raises:
            WarehouseClosed: It is closed.
            WarehouseError: What else `explain` or the database makes of a failure.
        """
        failure = None
        with self._lock:
            if self._closed:
                raise WarehouseClosed(CLOSED)
            loan = self._new_loan()
            self._loans.add(loan)
        try:
            yield loan
        except WarehouseError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever comes from the driver may quote a value
            failure = self._explained(self._fault(error), source, explain)
        finally:
            loan.close()
            with self._lock:
                self._loans.discard(loan)
        if failure is not None:
            raise_alone(failure)

    def close(self) -> None:
        """Cancel what runs, also in other threads, and close everything, once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loans = list(self._loans)
        for loan in loans:
            loan.close()
        self._disconnect()

    def _explained(
        self, fault: FaultT, source: str, explain: Callable[[FaultT], WarehouseError | None] | None
    ) -> WarehouseError:
        if self._closed:
            return WarehouseClosed(CLOSED)
        known = explain(fault) if explain else None
        return known or self._failure(fault, source)

    @abstractmethod
    def _new_loan(self) -> LoanT:
        """A loan that is not connected yet, or is so at once."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close what the loans hang on; they are closed."""

    @abstractmethod
    def _fault(self, error: Exception) -> FaultT:
        """Take a driver's exception apart."""

    @abstractmethod
    def _failure(self, fault: FaultT, source: str) -> WarehouseError:
        """Our own error for a fault."""
