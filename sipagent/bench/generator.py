"""The callers: a process that dials, talks and counts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from random import Random
from time import monotonic, process_time, time
from typing import Any

from sipagent.aio import loop
from sipagent.aio.ua import SipEndpoint
from sipagent.bench.caller import CallerFigures
from sipagent.bench.child import Boss, Churn, Order, Resize
from sipagent.bench.media import open_media
from sipagent.bench.plan import MAX_CALLS
from sipagent.errors import RemoteProtocolError
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Address, Ended, Event
from sipagent.sip.headers import NameAddr
from sipagent.sip.uri import Uri

ANSWER_S = 10.0
"""A call that nobody answers for so long after the last was dialled has failed."""
BYE_S = 0.5
"""For the answers to our BYEs."""
TOLD_EVERY_S = 0.25
"""How often it is told how the dialling goes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom the callers call, from where."""

    address: Address
    user: str = "agent"
    host: str = "127.0.0.1"
    """An address of ours that the other side reaches."""
    is_marked: bool = True
    """Whether the agent's frames bear marks: the model is ours."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """How the dialling goes."""

    answer: Sequence[float]
    """The seconds that each took from INVITE to 200 OK, of the calls of this order."""
    failed: Sequence[str]
    """Why calls that were to stand do not."""
    is_over: bool


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """What the callers counted."""

    window_s: float
    clock_step_s: float
    """By how much the wall clock, which stamps packets, was set while we measured."""
    ended: Sequence[str]
    """Why calls ended that should not have, or never stood."""
    callers: Sequence[CallerFigures]
    answer: Sequence[float] = ()
    """Of the calls that were dialled meanwhile."""
    cpu_s: float = 0.0
    """Processor time of the callers themselves."""


@dataclass(slots=True)
class _Call:
    number: int
    """Of the caller."""
    handle: int
    invited_at: float
    is_up: bool = False
    is_leaving: bool = False


class Generator:
    """Dials the program and follows the orders."""

    def __init__(self, boss: Boss, target: Target, *, library: Path | None) -> None:
        random = Random()
        self._boss = boss
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._media = open_media(library, capacity=MAX_CALLS, host=target.host, marked=target.is_marked, random=random)
        self._free = list(range(MAX_CALLS - 1, -1, -1))
        self._calls: dict[int, _Call] = {}
        self._answer: list[float] = []
        self._failed: list[str] = []
        self._ended: list[str] = []
        self._left: list[CallerFigures] = []
        """Of calls that were hung up while we measured."""
        self._timers: set[asyncio.TimerHandle] = set()
        self._churn: asyncio.Task[None] | None = None
        self._began = (0.0, 0.0, 0.0)
        self._endpoint = SipEndpoint(
            UserAgentSettings(user_agent="sipagent-bench"),
            on_event=self._receive,
            on_crash=lambda error: self._boss.report(f"{type(error).__name__}: {error}"),
            random=random,
        )

    async def run(self) -> None:
        """Do as ordered until the end."""
        await self._endpoint.listen("UDP", (self._target.host, 0))
        try:
            while (order := await self._boss.order()) is not Order.STOP:
                await self._obey(order)
        finally:
            await self._end()

    async def _obey(self, order: Order | Resize | Churn) -> None:
        match order:
            case Resize(calls, per_s):
                await self._resize(calls, per_s)
            case Churn(per_s, call_s):
                self._churn = self._loop.create_task(self._dial_on(per_s, call_s))
            case Order.BEGIN:
                self._media.begin()
                self._left, self._answer, self._ended = [], [], []
                self._began = (monotonic(), _wall_offset(), process_time())
            case Order.END:
                self._boss.report(self._figures())

    def _figures(self) -> GeneratorFigures:
        began_at, offset, cpu_s = self._began
        cpu_s = process_time() - cpu_s  # what follows is not the callers' work
        callers = [self._media.take(call.number) for call in self._calls.values() if call.is_up]
        return GeneratorFigures(
            window_s=monotonic() - began_at,
            clock_step_s=_wall_offset() - offset,
            ended=tuple(self._ended),
            callers=[*self._left, *callers],
            answer=tuple(self._answer),
            cpu_s=cpu_s,
        )

    # Calls come and go

    async def _resize(self, calls: int, per_s: float) -> None:
        self._answer, self._failed = [], []
        self._stop_churn()
        for call in list(self._calls.values())[calls:]:
            self._leave(call)
        missing = calls - len(self._calls)
        began_at = told_at = monotonic()
        for number in range(missing):
            await asyncio.sleep(max(0.0, began_at + number / per_s - monotonic()))
            self._dial()
            if monotonic() - told_at > TOLD_EVERY_S:
                told_at = monotonic()
                self._tell(is_over=False)
        await self._settle(missing)
        self._tell(is_over=True)

    async def _settle(self, calls: int) -> None:
        """Wait until each has been answered or has failed, but no longer than it may take."""
        until = monotonic() + ANSWER_S
        while len(self._answer) + len(self._failed) < calls:
            if monotonic() > until:
                missing = calls - len(self._answer) - len(self._failed)
                self._failed += [f"no answer within {ANSWER_S:g} s"] * missing
                return
            await asyncio.sleep(TOLD_EVERY_S / 10)

    async def _dial_on(self, per_s: float, call_s: float) -> None:
        began_at, number = monotonic(), 0
        while True:
            await asyncio.sleep(max(0.0, began_at + number / per_s - monotonic()))
            if self._free:
                handle = self._dial()
                timer = self._loop.call_later(call_s, self._leave_after, handle)
                self._timers.add(timer)
            else:
                self._ended.append(f"more than {MAX_CALLS} calls at once")
            number += 1
            self._timers = {timer for timer in self._timers if timer.when() > self._loop.time()}

    def _stop_churn(self) -> None:
        if self._churn is not None:
            self._churn.cancel()
        for timer in self._timers:
            timer.cancel()
        self._churn, self._timers = None, set()

    def _dial(self) -> int:
        number = self._free.pop()
        offer = self._media.open(number)
        call = _Call(number, 0, monotonic())
        self._endpoint.command(self._invite, call, offer)
        return call.handle

    def _invite(self, call: _Call, offer: bytes, *, now: float) -> None:
        host, port = self._target.address
        target = Uri("sip", self._target.user, host=host, port=port)
        us = NameAddr(None, Uri("sip", "bench", host=self._target.host))
        flow = self._endpoint.flow_to("UDP", self._target.address)
        call.handle = self._endpoint.agent.invite(target, flow, from_=us, body=offer, now=now)
        self._calls[call.handle] = call

    def _leave_after(self, handle: int) -> None:
        call = self._calls.get(handle)
        if call is not None:
            self._leave(call)

    def _leave(self, call: _Call) -> None:
        call.is_leaving = True
        self._let_go(call)
        self._endpoint.command(self._endpoint.agent.hang_up, call.handle)

    def _let_go(self, call: _Call) -> None:
        """Its caller talks no more; what was counted of it is kept."""
        del self._calls[call.handle]
        if call.is_up:
            self._left.append(self._media.take(call.number))
        self._media.close(call.number)
        self._free.append(call.number)

    def _receive(self, event: Event) -> None:
        match event:
            case Accepted(handle, _, body) if handle in self._calls:
                self._pick_up(self._calls[handle], body)
            case Ended(handle, reason, status) if handle in self._calls:
                call = self._calls[handle]
                words = f"{reason} {status or ''}".strip()
                self._ended.append(words)
                if not call.is_up:
                    self._failed.append(words)
                self._let_go(call)

    def _pick_up(self, call: _Call, answer: bytes) -> None:
        self._answer.append(monotonic() - call.invited_at)
        try:
            self._media.talk(call.number, answer)
        except RemoteProtocolError as error:
            self._ended.append(f"its answer: {error}")
        else:
            call.is_up = True

    def _tell(self, *, is_over: bool) -> None:
        self._boss.report(Dialled(tuple(self._answer), tuple(self._failed), is_over))

    async def _end(self) -> None:
        self._stop_churn()
        for call in list(self._calls.values()):
            self._leave(call)
        await asyncio.sleep(BYE_S)
        self._media.stop()
        await self._endpoint.close()


def run_generator(pipe: "connection.Connection[Any, Any]", target: Target, library: Path | None) -> None:
    """The process."""
    loop.run(_generate(pipe, target, library))


async def _generate(pipe: "connection.Connection[Any, Any]", target: Target, library: Path | None) -> None:
    await Generator(Boss(pipe), target, library=library).run()


def _wall_offset() -> float:
    return time() - monotonic()
