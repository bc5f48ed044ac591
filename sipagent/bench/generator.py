"""The callers: a process that dials, talks and counts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from random import Random
from time import monotonic, time
from typing import Any

from sipagent.aio import loop
from sipagent.aio.ticker import Ticker
from sipagent.aio.ua import SipEndpoint
from sipagent.bench.caller import Caller, CallerFigures, make_script
from sipagent.bench.child import Boss, Order
from sipagent.bench.plan import HOST
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Address, Ended, Event
from sipagent.sip.headers import NameAddr
from sipagent.sip.uri import Uri

DIAL_EVERY_S = 0.05
ANSWER_S = 10.0
"""A call that nobody answers for so long after the last was dialled has failed."""
BYE_S = 0.5
"""For the answers to our BYEs."""
SLOTS = 20
"""The callers' packets are spread over the 20 ms, a slot each: telephones don't keep step."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """How many calls are up, by the seconds that each took from INVITE to 200 OK."""

    answer: Sequence[float]


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """What the callers counted."""

    window_s: float
    clock_step_s: float
    """By how much the wall clock, which stamps packets, was set while we measured."""
    ended: Sequence[str]
    """Why calls ended that should not have."""
    callers: Sequence[CallerFigures]


class Generator:
    """Dials the program and follows the orders.

    :param target: where the program listens for SIP over UDP.
    """

    def __init__(self, boss: Boss, *, target: Address, calls: int) -> None:
        script = make_script()
        random = Random()
        step = len(script.frames) / calls
        self._boss = boss
        self._target = target
        self._callers = [Caller(script, first_frame=int(step * number), random=random) for number in range(calls)]
        self._ticker = Ticker(slots=SLOTS)
        self._invited: dict[int, tuple[Caller, float]] = {}
        self._answer: list[float] = []
        self._ended: list[str] = []
        self._settled = asyncio.Event()
        self._is_stopping = False
        self._endpoint = SipEndpoint(
            UserAgentSettings(user_agent="sipagent-bench"),
            on_event=self._receive,
            on_crash=lambda error: self._boss.report(f"{type(error).__name__}: {error}"),
            random=random,
        )

    async def run(self) -> None:
        """Dial, then do as ordered until the end."""
        await self._endpoint.listen("UDP", (HOST, 0))
        try:
            await self._dial_all()
            await self._follow()
        finally:
            await self._hang_up()

    async def _dial_all(self) -> None:
        for caller in self._callers:
            self._boss.report(Dialled(tuple(self._answer)))
            self._endpoint.command(self._dial, caller)
            await asyncio.sleep(DIAL_EVERY_S)
        try:
            await asyncio.wait_for(self._settled.wait(), ANSWER_S)
        except TimeoutError:
            self._ended.append(f"no answer within {ANSWER_S:g} s")
        if self._ended:
            self._boss.report(f"{len(self._answer)} of {len(self._callers)} calls stand ({self._reasons()})")
        else:
            self._boss.report(Dialled(tuple(self._answer)))

    def _dial(self, caller: Caller, *, now: float) -> None:
        target = Uri("sip", "agent", host=self._target[0], port=self._target[1])
        us = NameAddr(None, Uri("sip", "bench", host=HOST))
        flow = self._endpoint.flow_to("UDP", self._target)
        handle = self._endpoint.agent.invite(target, flow, from_=us, body=caller.wire.offer(), now=now)
        self._invited[handle] = (caller, now)

    def _receive(self, event: Event) -> None:
        match event:
            case Accepted(handle, _, body):
                caller, invited_at = self._invited[handle]
                self._answer.append(monotonic() - invited_at)
                caller.wire.receive_answer(body)
                self._ticker.add(caller.on_beat)
            case Ended(_, reason, status) if not self._is_stopping:
                self._ended.append(f"{reason} {status or ''}".strip())
        if len(self._answer) + len(self._ended) == len(self._callers):
            self._settled.set()

    async def _follow(self) -> None:
        began_at = offset = 0.0
        while (order := await self._boss.order()) is not Order.STOP:
            if order is Order.BEGIN:
                began_at, offset = monotonic(), _wall_offset()
                for caller in self._callers:
                    caller.begin()
            else:
                figures = [caller.end() for caller in self._callers]
                window_s = monotonic() - began_at
                self._boss.report(GeneratorFigures(window_s, _wall_offset() - offset, tuple(self._ended), figures))

    async def _hang_up(self) -> None:
        self._is_stopping = True
        for handle, (caller, _) in self._invited.items():
            self._endpoint.command(self._endpoint.agent.hang_up, handle)
            self._ticker.remove(caller.on_beat)
        await asyncio.sleep(BYE_S)
        for caller in self._callers:
            caller.wire.close()
        await self._endpoint.close()

    def _reasons(self) -> str:
        return ", ".join(sorted(set(self._ended)))


def run_generator(pipe: "connection.Connection[Any, Any]", target: Address, calls: int) -> None:
    """The process."""
    loop.run(_generate(pipe, target, calls))


async def _generate(pipe: "connection.Connection[Any, Any]", target: Address, calls: int) -> None:
    await Generator(Boss(pipe), target=target, calls=calls).run()


def _wall_offset() -> float:
    return time() - monotonic()
