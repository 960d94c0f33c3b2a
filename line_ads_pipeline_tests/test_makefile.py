"""What the make targets do that no other test sees."""

import shutil
import subprocess
from pathlib import Path

MAKEFILE = Path(__file__).parents[1] / "Makefile"


def test_clean_leaves_the_store_the_warehouse_and_the_runs(tmp_path):
    shutil.copy(MAKEFILE, tmp_path)
    kept = {"data/store/documents/a.json", "data/warehouse.duckdb", "data/dagster/runs.db", ".env"}
    removed = {".venv/installed", ".ruff_cache/x", "data/demo/store/a.json"}
    for name in kept | removed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == kept | {"Makefile"}
