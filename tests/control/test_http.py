"""The control port, asked over a real socket."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Event
from typing import Any

import aiohttp
import pytest

from sipagent.control.http import ControlServer, Page
from sipagent.control.metrics import Metrics
from sipagent.control.thread import ControlThread
from sipagent.errors import SipagentError
from sipagent.sip.core import HeaderList

Test = Callable[[aiohttp.ClientSession], Awaitable[None]]


async def dial(line: str, to: str, headers: HeaderList) -> str:
    if line != "main":
        raise SipagentError(f"there is no line {line}")
    return f"id of {to}" + "".join(f", {name}={value}" for name, value in headers)


PAUSED: list[tuple[str, bool]] = []


def pause_recording(call_id: str, is_paused: bool) -> None:
    if call_id != "c0ffee":
        raise SipagentError(f"no call {call_id} is being recorded")
    PAUSED.append((call_id, is_paused))


def serve(test: Test, *, reasons: list[str] | None = None) -> None:
    """Run ``test`` with a client of a server that is unready for these reasons."""

    async def run() -> None:
        metrics = Metrics(active_calls=lambda: 7, sip_counters=dict)
        server = ControlThread(
            reasons=lambda: reasons or [], metrics=metrics, dial=dial, pause_recording=pause_recording
        )
        host, port = await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(f"http://{host}:{port}") as client:
                await test(client)
        finally:
            await server.close()
            await server.close()

    asyncio.run(run())


def test_health() -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        async with client.get("/health") as response:
            assert response.status == 200
            assert await response.json() == {"status": "ok"}

    serve(test, reasons=["draining"])


def test_ready() -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        async with client.get("/ready") as response:
            assert response.status == 200
            assert await response.json() == {"ready": True, "reasons": []}

    serve(test)


def test_not_ready_says_why() -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        async with client.get("/ready") as response:
            assert response.status == 503
            assert await response.json() == {"ready": False, "reasons": ["draining", "no model"]}

    serve(test, reasons=["draining", "no model"])


def test_metrics() -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        async with client.get("/metrics") as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "\nsipagent_active_calls 7.0\n" in await response.text()

    serve(test)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/health", 405)])
def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        async with client.request(method, path) as response:
            assert response.status == status

    serve(test)


def test_a_port_that_is_taken() -> None:
    async def run() -> None:
        metrics = Metrics(active_calls=int, sip_counters=dict)
        first, second = (
            ControlThread(reasons=list, metrics=metrics, dial=dial, pause_recording=pause_recording) for _ in range(2)
        )
        host, port = await first.start("127.0.0.1", 0)
        try:
            with pytest.raises(OSError, match="address already in use"):
                await second.start(host, port)
        finally:
            await first.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("order", "status", "answer"),
    [
        ({"line": "main", "to": "200"}, 202, {"id": "id of 200"}),
        ({"line": "main", "to": "1", "headers": {"X-A": "b", "X-C": "d"}}, 202, {"id": "id of 1, X-A=b, X-C=d"}),
        ({"line": "main", "to": "1", "headers": 1}, 400, {"error": "Expected `object`, got `int` - at `$.headers`"}),
        ({"line": "other", "to": "200"}, 409, {"error": "there is no line other"}),
        ({"line": "main"}, 400, {"error": "Object missing required field `to`"}),
        ({"line": "main", "to": "1", "x": 1}, 400, {"error": "Object contains unknown field `x`"}),
    ],
)
def test_a_call_is_ordered(order: dict[str, object], status: int, answer: dict[str, str]) -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        async with client.post("/calls", json=order) as response:
            assert (response.status, await response.json()) == (status, answer)

    serve(test)


def test_what_a_browser_may_send_for_another_site_orders_nothing() -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        async with client.post("/calls", data='{"line": "main", "to": "200"}') as response:
            assert response.status == 415

    serve(test)


def test_calls_go_on_while_a_page_takes_its_time() -> None:
    async def run() -> None:
        beats = 0  # of the loop of the calls
        enough = Event()

        class SlowMetrics(Metrics):
            def write(self) -> Page:
                assert enough.wait(10.0)  # for ever, if it were written on the loop of the calls
                return super().write()

        metrics = SlowMetrics(active_calls=int, sip_counters=dict)
        server = ControlThread(reasons=list, metrics=metrics, dial=dial, pause_recording=pause_recording)
        host, port = await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(f"http://{host}:{port}") as client:
                async with asyncio.TaskGroup() as group:
                    page = group.create_task(client.get("/metrics"))
                    while not enough.is_set():
                        await asyncio.sleep(0.001)
                        beats += 1
                        if beats == 20:
                            enough.set()
                assert page.result().status == 200
        finally:
            await server.close()

    asyncio.run(run())


def test_calls_that_are_stuck_are_not_healthy() -> None:
    async def run() -> None:
        never = asyncio.Event()

        async def reasons() -> list[str]:
            await never.wait()
            return []

        unasked: Any = never.wait
        server = ControlServer(reasons=reasons, metrics=unasked, dial=dial, pause_recording=unasked, alive_s=0.05)
        host, port = await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(f"http://{host}:{port}") as client, client.get("/health") as response:
                assert response.status == 503
        finally:
            await server.close()

    asyncio.run(run())


def test_a_recording_pauses_and_goes_on() -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        PAUSED.clear()
        for action, state in (("pause", "paused"), ("resume", "on")):
            async with client.post("/calls/c0ffee/recording", json={"action": action}) as response:
                assert response.status == 200
                assert await response.json() == {"recording": state}
        assert PAUSED == [("c0ffee", True), ("c0ffee", False)]

    serve(test)


def test_orders_for_recordings_that_can_not_be_carried_out() -> None:
    async def test(client: aiohttp.ClientSession) -> None:
        PAUSED.clear()
        async with client.post("/calls/nobody/recording", json={"action": "pause"}) as response:
            assert response.status == 409
            assert "nobody" in (await response.json())["error"]
        for wrong in ({"action": "burn"}, {}, {"action": "pause", "for": "ever"}):
            async with client.post("/calls/c0ffee/recording", json=wrong) as response:
                assert response.status == 400
        async with client.post("/calls/c0ffee/recording", data="action=pause") as response:
            assert response.status == 415
        assert PAUSED == []

    serve(test)
