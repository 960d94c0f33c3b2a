import pytest

from line_ads_pipeline.store import Store


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(tmp_path / "store" if request.param == "folder" else "memory://")
