import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sipagent.agent.http_tool import MAX_ANSWER_BYTES, HttpToolSettings
from sipagent.agent.tools import CallInfo
from sipagent.aio.http_tools import HttpTools
from sipagent.aio.tools import ToolRunner

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PARAMETERS = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
KEY = "hunter2"


class Bench:
    """A service, and a tool that asks it."""

    def __init__(self, handler: Handler, **settings: Any) -> None:
        self.reports: list[BaseException] = []
        self.requests: list[web.Request] = []
        self._handler = handler
        self._settings = settings

    async def ask(self, arguments: str = '{"order": 7}', *, timeout_s: float = 5.0) -> str:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.requests.append(request)
            await request.read()
            return await self._handler(request)

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        server = TestServer(application)
        await server.start_server()
        tools = HttpTools()
        try:
            url = str(server.make_url("/")) + self._settings.pop("path", "orders/{order}")
            settings = HttpToolSettings("find", url, headers={"Authorization": KEY}, **self._settings)
            tool = tools.make(settings, description="Find.", parameters=PARAMETERS, timeout_s=timeout_s)
            runner = ToolRunner([tool], report=lambda name, error: self.reports.append(error), call=CallInfo("a1b2"))
            return await runner.output_of("find", arguments)
        finally:
            await tools.close()
            await server.close()


def ask(handler: Handler, arguments: str = '{"order": 7}', **settings: Any) -> tuple[str, Bench]:
    timeout_s = settings.pop("timeout_s", 5.0)
    bench = Bench(handler, **settings)
    return asyncio.run(bench.ask(arguments, timeout_s=timeout_s)), bench


async def shipped(request: web.Request) -> web.Response:
    return web.json_response({"state": "shipped"})


def test_a_service_is_asked_and_its_answer_told() -> None:
    output, bench = ask(shipped, answer="/state", path="orders/{order}?by={call.id}")
    assert output == "shipped"
    (request,) = bench.requests
    assert (request.method, request.path_qs) == ("GET", "/orders/7?by=a1b2")
    assert request.headers["Authorization"] == KEY
    assert not bench.reports


def test_a_body_is_sent() -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"got": await request.json(), "kind": request.content_type})

    output, _ = ask(echo, method="POST", body={"id": "{order}", "agent": "{call.agent}"}, path="")
    assert json.loads(output) == {"got": {"id": 7, "agent": ""}, "kind": "application/json"}


def test_arguments_that_do_not_fit_are_not_sent() -> None:
    output, bench = ask(shipped, '{"order": "seven"}')
    assert output == "The arguments of find are wrong: order must be a whole number."
    assert not bench.requests


async def refuse(request: web.Request) -> web.Response:
    return web.json_response({"error": "no order 7"}, status=404)


async def vanish(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def flood(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    try:
        for _ in range(MAX_ANSWER_BYTES // 65_536 + 100):
            await answer.write(b"x" * 65_536)
    except ConnectionError:
        pass
    return answer


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        (refuse, 'The service find failed: it knows nothing of the kind. It says: {"error": "no order 7"}'),
        (vanish, "The service find could not be reached (ServerDisconnectedError)."),
        (flood, "The service sent far more than an answer."),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_shows_no_key(handler: Handler, sentence: str) -> None:
    output, bench = ask(handler, path="orders/{order}?key=" + KEY)
    assert output == sentence
    (error,) = bench.reports
    assert KEY not in f"{error!r} {error.__cause__!r}"
    assert error.__suppress_context__ or error.__context__ is None


def test_nobody_there() -> None:
    async def main() -> str:
        tools = HttpTools()
        tool = tools.make(
            HttpToolSettings("find", "http://127.0.0.1:9/"), description="", parameters=PARAMETERS, timeout_s=5.0
        )
        try:
            return await ToolRunner([tool], report=lambda *_: None).output_of("find", '{"order": 1}')
        finally:
            await tools.close()

    assert asyncio.run(main()) == "The service find could not be reached (ClientConnectorError)."


def test_a_slow_service_is_given_up() -> None:
    async def sleep(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    output, _ = ask(sleep, timeout_s=0.05)
    assert output == "The tool find took longer than 0.05 seconds and was given up."


def test_a_redirect_is_followed_on_the_same_server() -> None:
    async def move(request: web.Request) -> web.Response:
        if request.path == "/orders/7":
            raise web.HTTPFound("/there")
        return web.Response(text="here")

    output, bench = ask(move)
    assert output == "here"
    assert [request.path for request in bench.requests] == ["/orders/7", "/there"]


@pytest.mark.parametrize(
    ("target", "sentence", "requests"),
    [
        ("http://127.0.0.2:1/", "The service find failed: it sent us elsewhere.", 1),
        ("//evil.example/", "The service find failed: it sent us elsewhere.", 1),
        ("/orders/7", "The service find could not be reached (ClientError).", 4),
    ],
)
def test_a_redirect_leads_nowhere_else_and_not_round_in_circles(target: str, sentence: str, requests: int) -> None:
    async def move(request: web.Request) -> web.Response:
        raise web.HTTPFound(target)

    output, bench = ask(move)
    assert output.startswith(sentence)
    assert len(bench.requests) == requests


def test_no_cookie_of_one_call_is_sent_with_the_next() -> None:
    async def main() -> list[str | None]:
        seen: list[str | None] = []

        async def bake(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Cookie"))
            answer = web.Response(text="ok")
            answer.set_cookie("caller", "ada")
            return answer

        application = web.Application()
        application.router.add_get("/", bake)
        server = TestServer(application)
        await server.start_server()
        tools = HttpTools()
        settings = HttpToolSettings("find", str(server.make_url("/")))
        tool = tools.make(settings, description="", parameters={}, timeout_s=5.0)
        for _ in range(2):
            await ToolRunner([tool], report=lambda *_: None).output_of("find", "")
        await tools.close()
        await server.close()
        return seen

    assert asyncio.run(main()) == [None, None]


def test_a_call_that_ends_stops_its_requests() -> None:
    async def main() -> None:
        begun, stopped = asyncio.Event(), asyncio.Event()

        async def wait(request: web.Request) -> web.Response:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()
            return web.Response()

        application = web.Application()
        application.router.add_get("/", wait)
        server = TestServer(application)
        await server.start_server()
        tools, outputs = HttpTools(), []
        settings = HttpToolSettings("find", str(server.make_url("/")))
        tool = tools.make(settings, description="", parameters={}, timeout_s=50.0)
        runner = ToolRunner([tool], report=lambda *_: None)
        runner.run("find", "", outputs.append)
        await begun.wait()
        runner.cancel_all()
        async with asyncio.timeout(10):
            await stopped.wait()
        await tools.close()
        await server.close()
        assert outputs == []

    asyncio.run(main())
