"""The program between callers and the model, as in ``make quality``: started, called by many at once, and ended."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from garbage import uncollected
from program import Server
from talk.caller import Caller

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
"""Callers don't keep step."""


class Exchange:
    """Use :func:`open_exchange`."""

    def __init__(self, server: Server, *, random: Random) -> None:
        self.server = server
        self.random = random
        self._ticker = Ticker(slots=SLOTS)
        self._dialling = asyncio.Lock()
        self._callers: dict[int, tuple[Caller, asyncio.Future[bytes]]] = {}
        self.endpoint = SipEndpoint(
            UserAgentSettings(user_agent="sipagent-talk"),
            on_event=self._receive,
            on_crash=self._crash,
            random=random,
        )
        self._crashes: list[Exception] = []

    @asynccontextmanager
    async def call(self, caller: Caller) -> AsyncIterator[None]:
        """A call that is up.

        :raises SipagentError: when it is not answered
        """
        async with self._dialling:  # people don't pick up their telephones together
            handle = await self._dial(caller)
        self._ticker.add(caller.on_beat)
        try:
            yield
        finally:
            self._ticker.remove(caller.on_beat)
            caller.receive_all()
            caller.record.ended_at = caller.record.ended_at or monotonic()
            if self._callers.pop(handle, None) is not None:
                self.endpoint.command(self.endpoint.agent.hang_up, handle)
            caller.wire.close()

    async def _dial(self, caller: Caller) -> int:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        us = NameAddr(None, Uri("sip", "caller", host=HOST))
        address = (HOST, self.server.sip_port)
        handle = 0

        def dial(*, now: float) -> None:
            nonlocal handle
            target = Uri("sip", caller.record.called, host=HOST, port=address[1])
            flow = self.endpoint.flow_to("UDP", address)
            handle = self.endpoint.agent.invite(target, flow, from_=us, body=caller.wire.offer(), now=now)
            self._callers[handle] = caller, answer

        self.endpoint.command(dial)
        async with asyncio.timeout(ANSWER_S):
            caller.wire.receive_answer(await answer)
        return handle

    def _receive(self, event: Event) -> None:
        match event:
            case Accepted(handle, _, body) if handle in self._callers:
                caller, answer = self._callers[handle]
                caller.record.answered_at = monotonic()
                answer.set_result(body)
            case Ended(handle, reason, status) if handle in self._callers:
                caller, answer = self._callers.pop(handle)
                caller.record.lost = f"{reason} {status or ''}".strip()
                caller.record.ended_at = monotonic()
                if not answer.done():
                    answer.set_exception(SipagentError(f"no answer: {caller.record.lost}"))

    def _crash(self, error: Exception) -> None:
        self._crashes.append(error)

    def check(self) -> None:
        """Make sure that nothing of ours went wrong, nor of the program's.

        :raises SipagentError: when something did
        """
        errors = [entry for entry in self.server.entries if entry.get("event") in ("call_crashed", "unreadable")]
        if self._crashes or errors:
            raise SipagentError(f"something went wrong: {[*self._crashes, *errors][:3]}")


def _start(folder: Path, settings: Mapping[str, Any]) -> Server:
    """Start the program, on a busy machine at the second attempt.

    :raises SipagentError: when it does not start
    """
    for _ in range(2):
        try:
            return Server(folder, settings)
        except TimeoutError as error:
            failure = SipagentError(f"the program did not start: {error}")
    raise failure


@asynccontextmanager
async def open_exchange(
    folder: Path, settings: Mapping[str, Any], *, seed: int = 1, is_realtime: bool = False
) -> AsyncIterator[Exchange]:
    """Start the program on a processor of its own, and all that is around it on the others."""
    processors = share_processors()
    usual = os.sched_getaffinity(0)
    with _start(folder, settings) as server, uncollected():
        os.sched_setaffinity(server.pid, processors.program)
        os.sched_setaffinity(0, processors.others)
        if is_realtime:
            os.sched_setscheduler(server.pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY - 1))
        exchange = Exchange(server, random=Random(seed))
        try:
            await exchange.endpoint.listen("UDP", (HOST, 0))
            yield exchange
            exchange.check()
        finally:
            os.sched_setaffinity(0, usual)
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            await exchange.endpoint.settle()
            await exchange.endpoint.close()
