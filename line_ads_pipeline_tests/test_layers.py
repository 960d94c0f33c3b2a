"""Imports run downwards only, so that each package can be read, tested and reused without those above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import line_ads_pipeline

PACKAGE = Path(line_ads_pipeline.__file__).parent

LAYERS = [
    {"definitions", "defs", "cli", "check", "demo"},
    {"components"},
    {"resources"},
    {"sync"},
    {"store", "warehouse"},
    {"identifiers", "line_ads", "simulator", "coordination", "object_stores"},
]
FOREIGN = {
    "line_ads": {"dagster", "polars"},
    "identifiers": {"dagster", "httpx"},
    "sync": {"dagster"},
    "store": {"dagster", "httpx"},
    "warehouse": {"dagster", "httpx"},
    "simulator": {"dagster", "polars", "httpx"},
    "coordination": {"dagster", "polars", "httpx"},
    "object_stores": {"dagster", "polars", "httpx"},
}


def imports_of(file: Path) -> set[str]:
    """Dotted names of all modules that a file imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names.add(node.module or "")
    return names


def files_of(part: str) -> list[Path]:
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]


def test_every_part_of_the_package_has_its_layer():
    parts = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert parts - {"__init__"} <= set().union(*LAYERS)


@pytest.mark.parametrize("part", sorted(set().union(*LAYERS)))
def test_a_part_imports_only_what_is_below_it(part):
    level = next(number for number, layer in enumerate(LAYERS) if part in layer)
    allowed = set().union(*LAYERS[level + 1 :], {part})
    if level == 0:
        allowed |= LAYERS[0]

    for file in files_of(part):
        own = {name.split(".")[1] for name in imports_of(file) if name.startswith("line_ads_pipeline.")}
        assert own <= allowed, f"{file.relative_to(PACKAGE)} imports {own - allowed}"


@pytest.mark.parametrize(("part", "forbidden"), FOREIGN.items(), ids=FOREIGN.keys())
def test_a_part_knows_nothing_of_what_others_use(part, forbidden):
    for file in files_of(part):
        assert not {name.split(".")[0] for name in imports_of(file)} & forbidden, file


def test_the_package_itself_imports_nothing():
    assert imports_of(PACKAGE / "__init__.py") == set()


def test_the_client_can_be_used_without_dagster_and_polars():
    code = "import sys, line_ads_pipeline.line_ads; print({'dagster', 'polars', 'duckdb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
