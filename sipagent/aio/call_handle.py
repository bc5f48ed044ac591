"""A call in the hands of a program: commands in, events out.

Everything happens on the loop of the calls. A command is done, or refused, when its coroutine returns; a program that
does not read the events loses the oldest and never holds up the call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

from sipagent.agent.tools import CallInfo
from sipagent.aio.driver import Driver
from sipagent.call import events
from sipagent.call.commands import Commands, Side
from sipagent.call.events import Fact
from sipagent.call.feed import CallEvent, Feed
from sipagent.call.succession import AgentChange
from sipagent.errors import LocalProtocolError


class CallHandle:
    """One call, from its answer to its end.

    Every command raises :class:`~sipagent.errors.LocalProtocolError` when the call is not in a state for it.

    :param commands: those of the call that ``driver`` drives.
    :param find: makes of an agent's name what that agent brings, or says why it can't come.
    :param answered: is told once that the call is up.
    """

    def __init__(
        self,
        commands: Commands,
        driver: Driver[events.Output],
        *,
        info: CallInfo,
        find: Callable[[str], AgentChange | str],
        answered: Callable[["CallHandle"], None],
    ) -> None:
        self.info = info
        """Who calls, whom, and which agent answered."""
        self._commands = commands
        self._driver = driver
        self._find = find
        self._answered = answered
        self._feed = Feed(info.call_id)
        self._news = asyncio.Event()
        self._pending: set[asyncio.Future[None]] = set()
        self.ended: events.Ended | None = None
        """The call's last word, once it is over; a call that a bug ended has none."""
        self._is_closed = False

    @property
    def id(self) -> str:
        """The call's."""
        return self.info.call_id

    # Commands

    async def say(self, text: str, *, verbatim: bool = False, interruptible: bool = True) -> None:
        """Have the agent say something in the next pause, in its own words or in these."""
        await self._do(self._commands.say, text, verbatim=verbatim, is_interruptible=interruptible)

    async def prompt(self, instructions: str) -> None:
        """Have the agent speak in the next pause, as these instructions say."""
        await self._do(self._commands.prompt, instructions)

    async def interrupt(self) -> None:
        """Have the agent fall silent now, in mid-word; what waits to be said is forgotten."""
        await self._do(self._commands.interrupt)

    async def pause(self) -> None:
        """Have the agent fall silent in mid-word and neither listen nor answer, until it is resumed."""
        await self._do(self._commands.pause)

    async def resume(self) -> None:
        """Have the agent go on with the word that was due."""
        await self._do(self._commands.resume)

    async def hold(self) -> None:
        """Have the agent wait in mid-word and the caller hear that he is on hold."""
        await self._do(self._commands.hold)

    async def unhold(self) -> None:
        """Take the caller back."""
        await self._do(self._commands.unhold)

    async def mute(self, side: Side = "both") -> None:
        """Have the agent not hear the caller, or the caller not hear the agent."""
        await self._do(self._commands.mute, side, True)

    async def unmute(self, side: Side = "both") -> None:
        """Take that back."""
        await self._do(self._commands.mute, side, False)

    async def send_event(self, event: Mapping[str, Any]) -> None:
        """Send the model an event of :data:`~sipagent.call.commands.ALLOWED_EVENTS`, as the Realtime API writes it."""
        await self._do(self._commands.send_event, event)

    async def send_digits(self, digits: str) -> None:
        """Press keys of the telephone, toward the caller."""
        await self._do(self._commands.send_digits, digits)

    async def transfer(self, target: str) -> None:
        """Hand the call on, once the agent has said so; what comes of it is told by events.

        :param target: one of the agent's destinations, or a number or a SIP URI that ``allow_transfer`` allows.
        """
        await self._do(self._commands.transfer, target)

    async def update_agent(self, agent: str) -> None:
        """Let another agent of the line go on with the call; ``AgentChanged`` or ``AgentKept`` says what came of it."""
        change = self._find(agent)
        if isinstance(change, str):
            raise LocalProtocolError(change)
        await self._do(self._commands.update_agent, change)

    async def hang_up(self, reason: str = "hung_up", *, says_goodbye: bool = False, at_once: bool = False) -> None:
        """End the call: by default when what is being said has been heard."""
        await self._do(self._commands.hang_up, reason, says_goodbye=says_goodbye, at_once=at_once)

    async def start_recording(self) -> None:
        """Record both sides from now on, in a file of its own."""
        await self._do(self._commands.start_recording)

    async def stop_recording(self) -> None:
        """Record no more, and complete the file."""
        await self._do(self._commands.stop_recording)

    # Events

    async def events(self) -> AsyncIterator[CallEvent]:
        """Yield what happens, from the call's INVITE on, until :class:`~sipagent.call.events.Ended`.

        There is one stream: what one loop has taken another does not get.
        """
        while True:
            while (event := self._feed.take()) is not None:
                yield event
            if self._is_closed:
                return
            self._news.clear()
            await self._news.wait()

    # The shell's

    def note(self, fact: Fact, *, now: float) -> None:
        """Take a fact."""
        self._feed.add(fact, now=now)
        if isinstance(fact, events.Answered):
            self._answered(self)
        elif isinstance(fact, events.Ended):
            self.ended = fact
        self._news.set()

    def close(self) -> None:
        """Nothing more comes: let go of whoever waits."""
        self._is_closed = True
        self._news.set()
        for outcome in self._pending:
            if not outcome.done():
                outcome.set_exception(LocalProtocolError("the call is over"))

    async def _do(self, command: Callable[..., None], *arguments: object, **named: object) -> None:
        """Have the call take a command in its turn."""
        if self._driver.is_closed:
            raise LocalProtocolError("the call is over")
        outcome = asyncio.get_running_loop().create_future()
        self._pending.add(outcome)
        try:
            self._driver.feed(partial(_perform, outcome, partial(command, *arguments, **named)))
            await outcome
        finally:
            self._pending.discard(outcome)


def _perform(outcome: asyncio.Future[None], command: Callable[..., None], *, now: float) -> None:
    if outcome.done():
        return
    try:
        command(now=now)
    except LocalProtocolError as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(None)
