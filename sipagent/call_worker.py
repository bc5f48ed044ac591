"""A worker: a process that runs calls, whose SIP is in the process in front, at the other end of a link.

It ends when it is told to, or when nobody is at the other end any more.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from random import SystemRandom
from typing import Any

from sipagent.agent.agent import Agent
from sipagent.aio import descriptors, loop
from sipagent.aio.collector import Collector
from sipagent.aio.figures import Figures
from sipagent.aio.line_writer import LineWriter
from sipagent.aio.link import Link
from sipagent.aio.log import get_logger
from sipagent.aio.programs import OnCall
from sipagent.aio.remote import RemoteSignalling
from sipagent.aio.service import Service
from sipagent.call.events import Fact
from sipagent.config import Config
from sipagent.control.metrics import Metrics
from sipagent.control.observer import CallObserver
from sipagent.control.thread import yield_often
from sipagent.errors import SipagentError
from sipagent.sip.core import HeaderList
from sipagent.sip.events import Event, Flow, IncomingInvite
from sipagent.sip.uri import Uri
from sipagent.workplace import Workplace


def run_worker(
    link: socket.socket,
    number: int,
    *,
    config: Config,
    agents: Mapping[str, Agent],
    on_call: OnCall | None,
    set_up_log: Callable[[int], LineWriter],
) -> None:
    """Live as a worker, from the fork on.

    :param link: our end of the link.
    :param set_up_log: begins the log of the worker of a number.
    """
    descriptors.allow_all()
    writer = set_up_log(number)
    try:
        loop.run(CallWorker(config, agents, on_call).run(link))
    finally:
        writer.close()


class CallWorker:
    """One, in its own process."""

    def __init__(self, config: Config, agents: Mapping[str, Agent], on_call: OnCall | None) -> None:
        self._log = get_logger()
        self._metrics = Metrics(
            active_calls=lambda: self._service.calls,
            sip_counters=dict,
            shell_counters=lambda: self._workplace.counters,
            refusals=lambda: self._service.refusals,
        )
        self._observer = CallObserver(self._metrics)
        self._workplace = Workplace(
            config, agents=agents, on_call=on_call, observer=self._observer, random=SystemRandom()
        )
        self._closing = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = False

    async def run(self, link: socket.socket) -> None:
        """Serve until the end."""
        yield_often()
        self._over = asyncio.Event()
        self._signalling = RemoteSignalling(self._tell)
        served: Mapping[str, Callable[..., Any]] = {
            "begin": lambda urls: self._do(self._begin(urls)),
            "take": self._take,
            "receive": self._receive,
            "place": self._place,
            "pause_recording": self._pause_recording,
            "done": self._signalling.done,
            "failed": self._signalling.failed,
            "figures": self._figures,
            "follow": self._follow,
            "drain": self._drain,
            "stop": self._stop,
            "close": self._over.set,
        }
        crashed = partial(self._log.error, "worker_crashed")
        self._link = Link(link, serves=served, lost=self._over.set, crashed=lambda error: crashed(exc_info=error))
        try:
            await self._over.wait()
            await self._end()
        finally:
            self._link.close()
            await self._closing.aclose()

    async def _begin(self, urls: Mapping[str, str]) -> None:
        """Make everything, and say that it is, or why it can't be."""
        self._closing.push_async_callback(self._workplace.close)
        try:
            self._service: Service = await self._workplace.open(urls)
        except SipagentError as error:
            self._tell("unfit", str(error))
            self._over.set()
            return
        self._is_open = True
        self._service.attach(self._signalling)
        self._service.over = partial(self._tell, "over")
        self._observer.on_trouble = partial(self._tell, "troubled")
        self._workplace.on_pressure = partial(self._tell, "judged")
        collector = Collector(calls=lambda: self._service.calls, begun=lambda: self._service.begun)
        collector.start()
        self._closing.callback(collector.stop)
        self._tell("judged", self._service.judge())
        self._tell("ready", os.getpid())

    async def _end(self) -> None:
        """End what calls there are, and wait until all is written."""
        if self._is_open:
            await self._service.stop()
            await self._service.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drain(self) -> None:
        """Have the calls say goodbye."""
        if self._is_open:
            self._do(self._service.drain(timeout_s=0.0))

    def _stop(self) -> None:
        """Have them end now."""
        if self._is_open:
            self._do(self._service.stop())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, name: str, *arguments: object) -> None:
        self._link.tell(name, *arguments)

    # What the front hands over

    def _take(self, call_id: str, event: IncomingInvite, address: str) -> None:
        """Take a call, or a dialog that is to replace one of a call that is here."""
        self._signalling.learn_address(address)
        self._service.take(event, call_id)
        if not self._service.has(call_id):
            self._tell("over", call_id)

    def _receive(self, event: Event) -> None:
        """Take an event of a dialog that was handed over."""
        self._service.receive(event)

    def _pause_recording(self, call_id: str, is_paused: bool) -> None:
        self._service.pause_recording(call_id, is_paused)

    def _place(self, call_id: str, line: str, target: Uri, headers: HeaderList, flow: Flow, address: str) -> None:
        """Make a call."""
        self._signalling.learn_address(address)
        self._service.place(call_id, line, target, headers, flow)

    async def _figures(self) -> Figures:
        if not self._is_open:
            raise SipagentError("nothing has been counted yet")
        self._tell("judged", self._service.judge())
        self._metrics.look()
        return await asyncio.get_running_loop().run_in_executor(None, self._metrics.figures)

    # For who follows the calls

    def _follow(self, is_followed: bool) -> None:
        self._observer.follower = Echo(self._link) if is_followed else None


class Echo:
    """Tells the front every fact and every delay."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def follow(self, call_id: str, fact: Fact, now: float) -> None:
        """Tell a fact."""
        self._link.tell("noted", call_id, fact, now)

    def follow_delay(self, path: str, seconds: float) -> None:
        """Tell a delay."""
        self._link.tell("timed", path, seconds)
