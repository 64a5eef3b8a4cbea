import pytest

from cumulet.store.memory import MemoryStore
from cumulet.store.open import open_store


@pytest.fixture(params=["memory", "embedded-os", "embedded-sync"])
async def store(request, tmp_path):
    kind, _, durability = request.param.partition("-")
    opened = MemoryStore() if kind == "memory" else await open_store("embedded", tmp_path / "data", durability)
    yield opened
    await opened.close()
