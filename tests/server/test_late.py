"""Parts that are opened late: once, by whoever needs them first, and not for nothing."""

import asyncio
import threading
from typing import Any

import pytest

from cumulet.core.context import Context, Principal
from cumulet.core.errors import NotImplementedFault
from cumulet.server.late import Importer, Late

CTX = Context("0", "us-east-1", "r", Principal("0", "arn", "0", "AKIA"), "http://127.0.0.1:1")


class Part:
    """`handlers` answers Greet; its one loop says when it began and ended."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.handlers = {"Greet": self._greet}
        self.loops = (self,)

    async def _greet(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return {"Greeting": f"hello {req['Name']}"}

    async def run(self, stop: asyncio.Event) -> None:
        self.happened.append("began")
        await stop.wait()
        self.happened.append("ended")

    async def close(self) -> None:
        self.happened.append("closed")


class Loading:
    """Loads parts, and counts how often; `gate` holds a load up in its thread."""

    def __init__(self, error: Exception | None = None) -> None:
        self.threads: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error = error

    def __call__(self) -> Any:
        self.gate.wait(10)
        self.threads.append(threading.current_thread().name)
        if self.error is not None:
            raise self.error

        async def opened() -> Part:
            return Part()

        return opened


async def test_many_who_ask_at_once_get_one_part_that_no_event_loop_imported():
    loading = Loading()
    late: Late[Part] = Late(Importer(), loading)
    parts = await asyncio.gather(*(late.get() for _ in range(20)))
    assert len({id(part) for part in parts}) == len(loading.threads) == 1
    assert loading.threads[0].startswith("importer")


async def test_a_call_waits_for_its_part_and_the_loop_goes_on_meanwhile():
    loading = Loading()
    loading.gate.clear()
    service = Late(Importer(), loading).service("greetings", lambda part: part.handlers)
    first, unknown = service.handlers.get("Greet"), service.handlers.get("Shout")
    assert first is not None and unknown is not None
    calls = [asyncio.create_task(first(CTX, {"Name": name})) for name in "ab"]
    await asyncio.sleep(0)
    assert not any(call.done() for call in calls)
    loading.gate.set()
    assert await asyncio.gather(*calls) == [{"Greeting": "hello a"}, {"Greeting": "hello b"}]
    with pytest.raises(NotImplementedFault, match="greetings:Shout"):
        await unknown(CTX, {})
    assert service.handlers.get("Shout") is None, "once it is open it says at once what it does not have"


async def test_its_loops_run_until_told_to_stop():
    late: Late[Part] = Late(Importer(), Loading())
    stop = asyncio.Event()
    running = asyncio.create_task(late.run(stop))
    part = await late.get()
    while not part.happened:
        await asyncio.sleep(0.01)
    stop.set()
    await running
    await late.close()
    assert part.happened == ["began", "ended", "closed"]


async def test_a_node_that_ends_opens_nothing_more():
    loading, stop = Loading(), asyncio.Event()
    late: Late[Part] = Late(Importer(), loading)
    stop.set()
    await late.run(stop)
    await late.close()
    assert late.part is None and loading.threads == []


async def test_what_was_asked_for_before_the_end_is_opened_and_ended():
    late, stop = Late(Importer(), Loading()), asyncio.Event()
    part = await late.get()
    stop.set()
    await late.run(stop)
    assert part.happened == ["began", "ended"]


async def test_a_part_that_cannot_be_opened_is_told_to_all_and_ends_the_node():
    late: Late[Part] = Late(Importer(), Loading(ValueError("no such table")))
    for asking in (late.get(), late.get(), late.run(asyncio.Event())):
        with pytest.raises(ValueError, match="no such table"):
            await asking
