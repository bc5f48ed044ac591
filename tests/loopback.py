"""What the shell's tests stand on: both event loops, a look for what was left behind, and a caller of our own parts.

Nothing here sleeps to be right: who waits, waits for an event, and a timeout ends a test that went wrong.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from sipagent.aio import loop
from sipagent.aio.ear import Ear
from sipagent.aio.model_server import ModelServer
from sipagent.aio.tls import Tls
from sipagent.aio.ua import SipEndpoint
from sipagent.aio.udp import UdpSocket
from sipagent.aio.voice import ToneEngine, Voice
from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.settings import LocalSettings
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Event, Flow
from sipagent.sip.headers import NameAddr
from sipagent.sip.message import Request, Response, parse_message
from sipagent.sip.uri import Uri

Result = TypeVar("Result")
Kind = TypeVar("Kind")

HOST = "127.0.0.1"
WITHIN_S = 10.0
"""Long after anything on the loopback has happened."""
SETTLE_S = 3.0
"""For what a test has closed to be gone."""

Run = Callable[[Coroutine[Any, Any, Result]], Result]
Clean = Callable[[Coroutine[Any, Any, Any]], Any]
"""The fixture ``run``: runs a test on a loop, and looks for what it left behind."""
LOOPS: dict[str, Run[Any]] = {"uvloop": loop.run, "asyncio": asyncio.run}


def run_clean(run: Run[Result], main: Coroutine[Any, Any, Result], *, within_s: float = 60.0) -> Result:
    """Run a test on a loop; it fails when it leaves a task, a socket, a file or a process behind."""
    return run(_clean(main, within_s))


async def _clean(main: Coroutine[Any, Any, Result], within_s: float) -> Result:
    files, children = open_files(), child_processes()
    async with asyncio.timeout(within_s):
        result = await main
    await until(lambda: not left_behind(files, children), within_s=SETTLE_S, what=lambda: left_behind(files, children))
    return result


def left_behind(files: set[str], children: set[str]) -> list[str]:
    """What there is now and was not before."""
    tasks = [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return [*tasks, *sorted(open_files() - files), *sorted(child_processes() - children)]


def open_files() -> set[str]:
    """Every open socket, pipe and file of this process."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # it was the listing's own
        if not target.startswith(("anon_inode:", "/proc/", "/dev/")):
            found.add(f"{entry.name} {target}")
    return found


def child_processes() -> set[str]:
    """The processes that this one has started and not waited for."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found |= {f"process {pid}" for pid in path.read_text().split()}
    return found


async def until(
    condition: Callable[[], object], *, within_s: float = WITHIN_S, what: Callable[[], object] = lambda: "it"
) -> None:
    """Wait until a condition holds that tells nobody when it does."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what()}") from None


async def within(waiting: Awaitable[Result], seconds: float = WITHIN_S) -> Result:
    """Wait, but not for ever."""
    async with asyncio.timeout(seconds):
        return await waiting


def make_model(script: str = "", **settings: Any) -> ModelServer:
    """The embedded model, with tones for a voice, no ear and no patience for real time."""
    chosen = {"pace": 50.0, "first_delta_s": 0.0} | settings
    local = LocalSettings(faults=FaultScript.parse(script), **chosen)
    return ModelServer(local, voice=Voice(ToneEngine()), ear=Ear(None), random=Random(1))


class Caller:
    """A SIP endpoint and an RTP socket, moved by hand.

    :param account: who it is, and proves to be when it is asked.
    :param tls: whom it trusts.
    """

    def __init__(self, account: Account | None = None, *, tls: Tls | None = None) -> None:
        self.account = account
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.crashes: list[Exception] = []
        self.packets: list[bytes] = []
        self.heard = asyncio.Event()
        self.endpoint = SipEndpoint(
            UserAgentSettings(user_agent="caller"),
            () if account is None else (account,),
            on_event=self.events.put_nowait,
            on_crash=self.crashes.append,
            tls=tls,
            random=Random(),  # no two callers may choose the same Call-ID
        )
        self.rtp = UdpSocket((HOST, 0), self._receive_rtp)
        self.handle = 0

    async def open(self) -> "Caller":
        """Listen."""
        await self.endpoint.listen("UDP", (HOST, 0))
        await self.endpoint.listen("TCP", (HOST, 0))
        return self

    def _receive_rtp(self, data: bytes, source: tuple[str, int]) -> None:
        self.packets.append(data)
        self.heard.set()

    def offer(self) -> bytes:
        """PCMU only."""
        lines = ["v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"]
        lines += [f"m=audio {self.rtp.address[1]} RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", ""]
        return "\r\n".join(lines).encode()

    def invite(
        self, port: int, *, transport: str = "UDP", host: str = HOST, name: str = "", body: bytes | None = None
    ) -> None:
        """Send an INVITE."""
        target = Uri("sip", "agent", host=name or host, port=port)
        flow = replace(self.endpoint.flow_to(transport, (host, port)), name=name)
        offer = self.offer() if body is None else body

        def dial(*, now: float) -> None:
            self.handle = self.endpoint.agent.invite(
                target,
                flow,
                account=self.account.name if self.account else None,
                from_=NameAddr.parse(f"<sip:caller@{HOST}>"),
                body=offer,
                now=now,
            )

        self.endpoint.command(dial)

    def hang_up(self) -> None:
        """Send a BYE, or a CANCEL."""
        self.endpoint.command(self.endpoint.agent.hang_up, self.handle)

    async def expect(self, kind: type[Kind]) -> Kind:
        """Wait for an event of a kind; those before it are passed over."""
        async with asyncio.timeout(WITHIN_S):
            while not isinstance(event := await self.events.get(), kind):
                pass
        return event

    async def close(self) -> None:
        """Close all sockets."""
        self.rtp.close()
        await self.endpoint.close()

    async def __aenter__(self) -> "Caller":
        return await self.open()

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


class RawUdp:
    """A UDP socket that speaks in bytes."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._socket = UdpSocket((HOST, 0), lambda data, source: self._received.put_nowait(data))
        self.address = self._socket.address

    def send(self, data: bytes, port: int) -> None:
        self._socket.send(data, (HOST, port))

    async def receive(self) -> Request | Response:
        return parse_message(await self.receive_bytes())

    async def receive_bytes(self) -> bytes:
        return await within(self._received.get())

    def close(self) -> None:
        self._socket.close()


def options(port: int, *, transport: str = "UDP", sent_by: str = HOST, branch: str = "a") -> bytes:
    """An OPTIONS request as bytes."""
    lines = [
        f"OPTIONS sip:agent@{HOST}:{port} SIP/2.0",
        f"Via: SIP/2.0/{transport} {sent_by};branch=z9hG4bK{branch};rport",
        "Max-Forwards: 70",
        f"From: <sip:caller@{HOST}>;tag=1",
        f"To: <sip:agent@{HOST}>",
        f"Call-ID: {branch}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def flow_of(transport: str, port: int) -> Flow:
    return Flow(transport, (HOST, port))
