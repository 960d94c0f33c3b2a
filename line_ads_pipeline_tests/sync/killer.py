"""Ends a process, as far as a test can see, at any call that leaves it."""

import itertools


class Killed(BaseException):
    """The process ends here, without a chance to clean up."""


class Killer:
    """Counts the calls that leave the process, and ends it before or after one of them."""

    def __init__(self, patched, *, call: int, when: str) -> None:
        self.killed = False
        self._patched, self._call, self._when = patched, call, when
        self._calls = itertools.count(1)

    def watch(self, owner: object, name: str) -> None:
        original = getattr(owner, name)

        def call(*args, **kwargs):
            number = next(self._calls)
            if number == self._call and self._when == "before":
                self.die()
            answer = original(*args, **kwargs)
            if name == "list_audiences":
                answer = iter(list(answer))
            if number == self._call:
                self.die()
            return answer

        self._patched.setattr(owner, name, call)

    def die(self) -> None:
        self.killed = True
        raise Killed
