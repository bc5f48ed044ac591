"""What a look at all sockets gives rise to, until the look is over: then it is sent, to all models in one go.

To judge a packet and to send a message runs through much code each. Whoever does the one for every call and then the
other finds it in the processor's caches; and the model's process is woken once, not for every call.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Sender(Protocol):
    """A connection."""

    send: Callable[[bytes], None]
    """Sends a message, or drops it if the connection is gone."""


class Outbox:
    """Of one watch; closed, it sends what it gets at once."""

    def __init__(self) -> None:
        self._is_open = False
        self._senders: list[Sender] = []
        self._messages: list[bytes] = []
        self._told: list[Callable[[], None]] = []

    def open(self) -> None:
        """Keep from now on what is to be sent."""
        self._is_open = True

    def send(self, sender: Sender, message: bytes) -> None:
        """Send it, now or when the look is over."""
        if self._is_open:
            self._senders.append(sender)
            self._messages.append(message)
        else:
            sender.send(message)

    def when_sent(self, told: Callable[[], None]) -> None:
        """Tell when everything is sent that was to be sent before."""
        if self._is_open:
            self._told.append(told)
        else:
            told()

    def flush(self) -> None:
        """Send what there is, in its order."""
        if not self._messages and not self._told:
            return
        senders, messages, told = self._senders, self._messages, self._told
        self._senders, self._messages, self._told = [], [], []
        for number, sender in enumerate(senders):
            try:
                sender.send(messages[number])
            except Exception as error:  # noqa: BLE001 - one connection; the others are sent to
                _report("a message could not be sent", error)
        for tell in told:
            tell()

    def close(self) -> None:
        """Send what there is, and from now on what comes at once."""
        self._is_open = False
        self.flush()


def _report(message: str, error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
