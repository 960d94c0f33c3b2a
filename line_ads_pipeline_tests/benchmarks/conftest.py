from pathlib import Path

import pytest

from benchmarks.people import Kind, write_people

ROWS = 20_000


@pytest.fixture(scope="session")
def people_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("people")


@pytest.fixture
def people(people_folder):
    """A file of 20,000 people of a kind, made once."""

    def of(kind: Kind) -> Path:
        return write_people(kind, people_folder, rows=ROWS)

    return of
