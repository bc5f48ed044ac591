"""Our program between a model and telephones of ours: it is started, called, and ended with the last call."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from garbage import uncollected
from program import Server
from quality.model import Model, Session
from quality.telephone import Telephone

from sipagent.aio.ticker import Ticker
from sipagent.aio.ua import SipEndpoint
from sipagent.bench.plan import HOST, PRIORITY, share_processors
from sipagent.errors import SipagentError
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Ended, Event
from sipagent.sip.headers import NameAddr
from sipagent.sip.uri import Uri

ANSWER_S = 15.0
"""Long after every call on the loopback has been answered."""
SLOTS = 20
"""Telephones don't keep step."""
MAX_CALLS = 200

AGENT = {
    "instructions": "Talk.",
    "greeting": "Talk.",
    "turn": {"detection": "server"},  # the model gets every frame
    "barge_in": {"enabled": False},  # both sides speak at once
    "continuity": {"filler": "none", "stalled_s": 60.0, "lost_s": 120.0},  # an echo is silent when its caller is
}


class Exchange:
    """Use :func:`open_exchange`."""

    def __init__(self, server: Server, model: Model, *, random: Random) -> None:
        self.server = server
        self.random = random
        self._model = model
        self._ticker = Ticker(slots=SLOTS)
        self._dialling = asyncio.Lock()
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self.endpoint = SipEndpoint(
            UserAgentSettings(user_agent="sipagent-quality"),
            on_event=self._receive,
            on_crash=self._crash,
            random=random,
        )
        self._crashes: list[Exception] = []

    @asynccontextmanager
    async def call(self, telephone: Telephone, audio: bytes | None) -> AsyncIterator[Session]:
        """A call that is up, and the model's end of it.

        :param audio: what the model says, G.711; ``None`` makes it an echo
        :raises SipagentError: when it is not answered, or ended before us
        """
        async with self._dialling:  # one after the other, so that the next session of the model's is this call's
            expected = self._model.expect(audio)
            handle = await self._dial(telephone)
            session = expected.result()
        self._ticker.add(telephone.on_beat)
        try:
            yield session
            if handle not in self._answers:
                raise SipagentError("the program ended a call")
        finally:
            self._ticker.remove(telephone.on_beat)
            telephone.receive_all()
            if self._answers.pop(handle, None) is not None:
                self.endpoint.command(self.endpoint.agent.hang_up, handle)
            telephone.wire.close()

    async def _dial(self, telephone: Telephone) -> int:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        us = NameAddr(None, Uri("sip", "quality", host=HOST))
        address = (HOST, self.server.sip_port)
        handle = 0

        def dial(*, now: float) -> None:
            nonlocal handle
            target = Uri("sip", "agent", host=HOST, port=address[1])
            flow = self.endpoint.flow_to("UDP", address)
            handle = self.endpoint.agent.invite(target, flow, from_=us, body=telephone.wire.offer(), now=now)
            self._answers[handle] = answer

        self.endpoint.command(dial)
        async with asyncio.timeout(ANSWER_S):
            telephone.wire.receive_answer(await answer)
        return handle

    def _receive(self, event: Event) -> None:
        match event:
            case Accepted(handle, _, body) if handle in self._answers:
                self._answers[handle].set_result(body)
            case Ended(handle, reason, status) if handle in self._answers:
                answer = self._answers.pop(handle)
                if not answer.done():
                    answer.set_exception(SipagentError(f"no answer: {reason} {status or ''}"))

    def _crash(self, error: Exception) -> None:
        self._crashes.append(error)

    def check(self) -> None:
        """Make sure that nothing of ours went wrong, nor of the program's.

        :raises SipagentError: when something did
        """
        errors = [entry for entry in self.server.entries if entry.get("level") in ("error", "critical")]
        if self._crashes or errors:
            raise SipagentError(f"something went wrong: {[*self._crashes, *errors][:3]}")


@asynccontextmanager
async def open_exchange(folder: Path, *, seed: int = 1, is_realtime: bool = False) -> AsyncIterator[Exchange]:
    """Start the program on a processor of its own, and all that is around it on the others."""
    processors = share_processors()
    model = Model()
    url = await model.listen()
    settings = {
        "lines": [{"name": "main", "agent": "tested", "codecs": ["PCMU"]}],
        "agents": {"tested": AGENT | {"engine": "model"}},
        "engines": {"model": {"url": url, "api_key": "quality", "without_key": "fail"}},
        "sip": {"max_calls": MAX_CALLS},
        "log": {"level": "info"},
    }
    usual = os.sched_getaffinity(0)
    with Server(folder, settings) as server, uncollected():
        os.sched_setaffinity(server.pid, processors.program)
        os.sched_setaffinity(0, processors.others)
        if is_realtime:
            os.sched_setscheduler(server.pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY - 1))
        exchange = Exchange(server, model, random=Random(seed))
        try:
            await exchange.endpoint.listen("UDP", (HOST, 0))
            yield exchange
            exchange.check()
        finally:
            os.sched_setaffinity(0, usual)
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            await exchange.endpoint.settle()
            await exchange.endpoint.close()
            await model.close()
