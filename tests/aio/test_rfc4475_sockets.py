"""The torture messages of RFC 4475 over real sockets: all at once, each from a caller of its own, to one endpoint.

Over UDP the answers are those of :mod:`sip.rfc4475`. Over a stream a message that does not say where it ends, or says
it two ways, costs the connection; what follows a message is the next one.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from connections import Authority
from loopback import HOST, Clean, RawUdp, options, within
from sip.rfc4475 import ANSWERS, Case, allowed, load_cases

from sipagent.aio import connection
from sipagent.aio.tls import Tls
from sipagent.aio.ua import SipEndpoint
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Event, IncomingInvite
from sipagent.sip.framing import StreamFramer

REFUSED = 486
"""What a call gets here."""

SENTINEL = "what-comes-last"
"""The Call-ID of an OPTIONS that is sent after each message: once it is answered, nothing more will come before it."""

ENDLESS = {"clerr", "baddn"}
"""What over a stream never ends."""

CLOSED = {"clerr": "", "ncl": "400", "mcl01": "400", "baddn": "", "inv2543": "400", "dblreq": "405 call"}
"""What costs the connection, and what is answered before: a length that is wrong or lacking, or a head without an end.

Over a stream the second half of ``dblreq`` is a message, whose length takes in some of what follows.
"""

INCOMPLETE_S = 0.2
"""How long the rest of a message is waited for here."""


class Answers:
    """What came back to one caller."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.is_over = False

    def take(self, data: bytes) -> None:
        """Take one message, which repeats what was wrong with the one that it answers."""
        if f"Call-ID: {SENTINEL}\r\n".encode() in data:
            self.is_over = True
        else:
            assert data.startswith(b"SIP/2.0 "), "we ask nobody"
            self.statuses.append(data.split(b" ")[1].decode())

    def __str__(self) -> str:
        """The statuses, ``call`` for that of an INVITE that was taken."""
        return " ".join(self.statuses).replace(f"100 {REFUSED}", "call")


class Bench:
    """An endpoint that takes every call, and refuses it at once."""

    def __init__(self, tls: Tls | None) -> None:
        self.crashes: list[Exception] = []
        self.endpoint = SipEndpoint(
            UserAgentSettings(), on_event=self._receive, on_crash=self.crashes.append, random=Random(1), tls=tls
        )

    def _receive(self, event: Event) -> None:
        if isinstance(event, IncomingInvite):
            self.endpoint.command(self.endpoint.agent.reject, event.handle, REFUSED)


@asynccontextmanager
async def listening(transport: str, tls: Tls | None = None) -> AsyncIterator[int]:
    """An endpoint's port; in the end nothing has crashed."""
    bench = Bench(tls)
    try:
        yield (await bench.endpoint.listen(transport, (HOST, 0)))[1]
    finally:
        await bench.endpoint.close()
    assert bench.crashes == []


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, tuple[Case, bytes]]:
    """Of each message what the manifest says, and the octets."""
    found = load_cases(corpora).items()
    return {name: (case, (corpora / "rfc4475" / case["file"]).read_bytes()) for name, case in found}


async def ask_by_datagram(data: bytes, port: int) -> Answers:
    """Send a message and then the question that ends it; return what came back."""
    caller, answers = RawUdp(), Answers()
    try:
        caller.send(data, port)
        caller.send(options(port, branch=SENTINEL), port)
        while not answers.is_over:
            answers.take(await caller.receive_bytes())
    finally:
        caller.close()
    return answers


async def ask_by_stream(data: bytes, port: int, *, tls: ssl.SSLContext | None, ends: bool) -> Answers:
    """The same over a connection, in one segment, until the question is answered or the connection closed.

    :param ends: whether anything that follows the message would be another.
    """
    answers, framer = Answers(), StreamFramer()
    reader, writer = await asyncio.open_connection(HOST, port, ssl=tls)
    writer.write(data)
    if ends:
        writer.write(options(port, transport="TLS" if tls else "TCP", branch=SENTINEL))
    while not answers.is_over and (octets := await within(reader.read(4096))):
        for message in framer.receive_data(octets):
            answers.take(message)
    writer.close()
    await within(writer.wait_closed())
    return answers


@pytest.mark.usefixtures("nothing_unheard")
def test_over_udp(cases: dict[str, tuple[Case, bytes]], run: Clean) -> None:
    async def main() -> None:
        async with listening("UDP") as port, asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(ask_by_datagram(data, port)) for name, (_, data) in cases.items()}
        answers = {name: str(task.result()) for name, task in tasks.items()}
        assert answers == ANSWERS
        assert [name for name, answer in answers.items() if answer not in allowed(cases[name][0])] == []

    run(main())


@pytest.mark.usefixtures("nothing_unheard")
@pytest.mark.parametrize("transport", ["TCP", "TLS"])
def test_over_a_stream(
    transport: str,
    cases: dict[str, tuple[Case, bytes]],
    run: Clean,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", INCOMPLETE_S)
    monkeypatch.setattr(connection, "BODY_S", INCOMPLETE_S)

    authority = Authority(tmp_path)
    ours, theirs = (authority.tls(), authority.client()) if transport == "TLS" else (None, None)

    async def main() -> None:
        async with listening(transport, ours) as port, asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(ask_by_stream(data, port, tls=theirs, ends=name not in ENDLESS))
                for name, (_, data) in cases.items()
            }
        answers = {name: task.result() for name, task in tasks.items()}
        assert {name: str(answer) for name, answer in answers.items()} == ANSWERS | CLOSED
        assert {name for name, answer in answers.items() if not answer.is_over} == CLOSED.keys()

    run(main())
