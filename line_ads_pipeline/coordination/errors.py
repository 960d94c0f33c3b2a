"""What can go wrong between the processes that share one database.

    CoordinationError            the URL names no database that fits
    ├── CoordinationUnavailable  the database cannot be reached or used
    ├── LeaseHeld                another has the lease, and it was not to be waited for
    ├── LeaseLost                another took the lease over, since its holder was silent for too long
    └── Overtaken                somebody newer waits for the lease too

The URL of a database may hold a password, and a driver may quote parts of it, so no error here holds either, and no
driver's exception is chained to it.
"""


class CoordinationError(Exception):
    """Processes could not be coordinated; the message says why and what to do."""


class CoordinationUnavailable(CoordinationError):
    """The database cannot be reached or used."""


class LeaseHeld(CoordinationError):
    """All slots of the lease are taken, or others wait for them already."""


class LeaseLost(CoordinationError):
    """The lease is another's now: whatever it protects must not be touched any more."""


class Overtaken(CoordinationError):
    """Somebody newer waits for the lease, so that the work of this waiter is no longer wanted."""
