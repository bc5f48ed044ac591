"""Tries an engine without a call: opens a session, and closes it once it stands as a call would ask for it."""

import asyncio
from random import Random
from typing import Final, Protocol

from sipagent.aio.driver import Driver
from sipagent.aio.time_limit import TimeLimit
from sipagent.aio.websocket import WebSocket
from sipagent.call.session_factory import make_session
from sipagent.realtime.events import Output, Send, SessionFailed, SessionReady
from sipagent.realtime.settings import SessionSettings

LIMIT_S: Final = 20.0
"""A session that takes longer than connection and set-up together may take is no session."""


class Opener(Protocol):
    """Opens a WebSocket to the engine."""

    async def __call__(self, socket: WebSocket) -> None:
        """Connect; what comes of it is told by the socket."""


async def probe(open_socket: Opener, settings: SessionSettings, *, random: Random) -> str | None:
    """Return why the engine can't be used, ``None`` when it can."""
    session = make_session(settings, audio_format=settings.audio_format, random=random)
    outcome: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def carry(output: Output) -> None:
        match output:
            case Send(data):
                socket.send(data)
            case SessionReady():
                _settle(outcome, None)
            case SessionFailed(message=message):
                _settle(outcome, message)

    driver: Driver[Output] = Driver(session, carry=carry, crashed=lambda error: _settle(outcome, str(error)))
    socket = WebSocket(
        opened=lambda: driver.feed(session.open),
        received=lambda data: driver.feed(session.receive_text, data),
        lost=lambda code, reason: driver.feed(session.connection_lost, code, reason),
    )
    try:
        async with TimeLimit(LIMIT_S):
            await open_socket(socket)
            return await outcome
    except TimeoutError:
        return "no answer"
    finally:
        driver.close()
        socket.close()


def _settle(outcome: "asyncio.Future[str | None]", reason: str | None) -> None:
    if not outcome.done():
        outcome.set_result(reason)
