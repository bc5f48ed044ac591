"""The application toward strangers: who is refused, what is logged of it, and what the metrics say."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from loopback import HOST, Caller, RawUdp, options, run_clean, until, within
from program import free_port

from sipagent.agent.builtin import KEY_TOOLS
from sipagent.aio import log, loop
from sipagent.app import Application
from sipagent.call.events import DigitPressed, ToolCalled, ToolReturned
from sipagent.config import load
from sipagent.control.metrics import Metrics
from sipagent.control.observer import CallObserver
from sipagent.errors import SipagentError
from sipagent.sip.account import Account
from sipagent.sip.digest import Credentials
from sipagent.sip.events import Accepted, Ended
from sipagent.sip.uri import Uri


@pytest.fixture
def style() -> str:
    """Of the log."""
    return "json"


@pytest.fixture
def lines(style: str) -> Iterator[io.StringIO]:
    """The log; logging is left as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.set_up(level="info", style=style, stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@asynccontextmanager
async def serving(folder: Path, line: dict[str, Any], **options: Any) -> AsyncIterator[Application]:
    port = free_port()
    text = {
        "sip": {"listen": [f"udp:{HOST}:{port}", f"tcp:{HOST}:{port}"], "max_calls": 10},
        "rtp": {"ports": "20000-27999"},
        "lines": [{"name": "main", "agent": "agent", **line}],
        "agents": {"agent": {"engine": "model", "instructions": "Be brief."}},
        "engines": {"model": {"url": "local"}},
        "control": {"listen": f"{HOST}:{free_port()}"},
        "recording": {"directory": str(folder / "recordings")},
    }
    (folder / "config.yaml").write_text(json.dumps(text))
    application = Application(load(folder / "config.yaml"), **options)
    await application.start()
    try:
        yield application
    finally:
        await within(application.stop())


async def call(application: Application, password: str | None = None) -> tuple[Caller, int | None]:
    """Call over TCP, where each question gets its answer; return the status that refused it, if one did."""
    address, credentials = Uri("sip", "alice", host=HOST), Credentials("alice", password or "")
    account = Account(name="alice", address=address, contact_user="alice", credentials=credentials)
    caller = await Caller(account if password else None).open()
    caller.invite(application._config.sip.listen[0].port, transport="TCP")
    async with asyncio.timeout(10):
        while not isinstance(event := await caller.events.get(), Accepted | Ended):
            pass
    return caller, event.status if isinstance(event, Ended) else None


async def get_metrics(application: Application) -> str:
    address = application._config.control.listen
    url = f"http://{address.host}:{address.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


PEERS = {"peers": ["192.0.2.0/24"]}
CALLERS = {"callers": {"alice": "wonderland"}}


@pytest.mark.parametrize(
    ("line", "password", "options", "status"),
    [
        ({}, None, {}, None),
        (PEERS, None, {}, 403),
        (PEERS, None, {"trusts_itself": True}, None),
        (CALLERS, None, {}, 401),
        (CALLERS, "guess", {}, 401),
        (CALLERS, "wonderland", {}, None),
    ],
)
def test_who_is_served(
    tmp_path: Path, line: dict[str, Any], password: str | None, options: dict[str, bool], status: int | None
) -> None:
    async def main() -> None:
        async with serving(tmp_path, line, **options) as application:
            caller, refused = await call(application, password)
            assert refused == status
            assert application.service.calls == (1 if status is None else 0)
            await caller.close()

    run_clean(loop.run, main())


def test_a_ban_is_one_line_in_the_log_and_is_counted(tmp_path: Path, lines: io.StringIO) -> None:
    async def main() -> None:
        async with serving(tmp_path, CALLERS) as application:
            for number in range(4):
                caller, status = await call(application, f"guess{number}")
                assert status == 401
                await caller.close()
            last = await Caller(caller.account).open()
            for _ in range(3):
                last.invite(application._config.sip.listen[0].port, transport="TCP")
            counters = application.endpoint.agent.counters
            await until(lambda: counters["guard_dropped_banned"] >= 2)
            page = await get_metrics(application)
            assert 'sipagent_sip_total{what="guard_bans"} 1.0' in page
            assert 'sipagent_sip_total{what="guard_bad_auth"} 5.0' in page
            assert 'sipagent_sip_total{what="guard_dropped_banned"}' in page
            await last.close()

    run_clean(loop.run, main())
    banned = [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "source_banned"]
    assert len(banned) == 1
    wanted = {"source": HOST, "reason": "wrong password", "count": 5, "seconds": 900.0, "level": "warning"}
    assert banned[0].items() >= wanted.items()
    assert "guess" not in lines.getvalue()
    assert "wonderland" not in lines.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "caller",
    [
        '"\x1b[2J\x1b]0;x\x07" <sip:a@b>',
        '"\u202eevil\u2066" <sip:a@b>',
        "<sip:a%0d%0a2026-01-01%20error%20forged@b>",
        "<sip:%00%1b%5b31m@b>",
        '"\x9b31m" <sip:' + "a" * 7_000 + "@b>",
        "<sip:sk-abcdefghijklmnop@b>",
    ],
)
def test_a_caller_can_not_write_in_the_log(tmp_path: Path, lines: io.StringIO, caller: str) -> None:
    """Telephony.md section 3, row 19."""

    async def main() -> None:
        async with serving(tmp_path, {}) as application:
            port = application._config.sip.listen[0].port
            peer = RawUdp()
            data = options(port).replace(b"OPTIONS", b"INVITE")
            peer.send(data.replace(f"<sip:caller@{HOST}>".encode(), caller.encode()), port)
            await until(lambda: "invited" in lines.getvalue())
            peer.close()

    run_clean(loop.run, main())
    text = lines.getvalue()
    assert sum("invited" in line for line in text.splitlines()) == 1
    assert all(character.isprintable() for line in text.split("\n") for character in line)
    assert "sk-abcdef" not in text
    assert max(map(len, text.splitlines())) < 5_000


def test_the_keys_that_a_caller_presses_are_not_in_the_log(lines: io.StringIO) -> None:
    """Telephony.md section 3, row 19: they may be a card's number."""
    metrics = Metrics(active_calls=lambda: 0, registered_lines=lambda: 0, sip_counters=dict, shell_counters=dict)
    CallObserver(metrics).observe("call", DigitPressed("7"), now=0.0)
    entry = json.loads(lines.getvalue())
    assert (entry["event"], entry["call"]) == ("digit_pressed", "call")
    assert "digit" not in entry


@pytest.mark.parametrize("name", sorted(KEY_TOOLS))
def test_neither_are_those_that_a_tool_collects_or_presses(lines: io.StringIO, name: str) -> None:
    metrics = Metrics(active_calls=lambda: 0, registered_lines=lambda: 0, sip_counters=dict, shell_counters=dict)
    observer = CallObserver(metrics)
    observer.observe("call", ToolCalled(name, '{"digits": "4711"}'), now=0.0)
    observer.observe("call", ToolReturned(name, "4711"), now=0.0)
    observer.observe("call", ToolReturned("look_up", "the sky"), now=0.0)
    first, second, other = lines.getvalue().splitlines()
    assert "4711" not in first + second
    assert name in first
    assert "the sky" in other


def test_whom_the_program_may_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, {"domain": "127.0.0.1:9", "allow_out": ["internal", "+1*"]}) as application:
            for to in ("+19005551234", "sip:200@192.0.2.1", "*72100", "911"):
                with pytest.raises(SipagentError, match=r"may not be called: .*; allow_out of line main says who may"):
                    await application.dial("main", to)
            assert application.service.calls == 0

    run_clean(loop.run, main())
