"""The one driver of every machine: it feeds one input at a time, carries the outputs, and keeps one timer armed.

Time is ``time.monotonic``, the clock by which both asyncio's loop and uvloop arm timers; uvloop's own ``time()`` tells
whole milliseconds, and those of the beginning of its turn.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

from sipagent.aio.carrier import Carrier
from sipagent.aio.pulse import on_grid
from sipagent.call.events import Address
from sipagent.call.talker import Talker
from sipagent.machine import Machine

Output = TypeVar("Output")

PAUSE_S: Final = 0.1
"""A machine that crashed and was not closed is left alone for so long, so that a bug in a timer does not spin."""

TOGETHER_S: Final = 0.005
"""Timers fire at multiples of it: those of all calls together, and with the beats. To be woken costs more than they."""

EARLY_S: Final = 0.001
"""uvloop counts in milliseconds, so a timer may fire that much before its time; it counts as in time."""


class Input(Protocol):
    """A machine's method, or a partial of one, that still wants the time."""

    def __call__(self, *, now: float) -> object:
        """Take the input."""


Origin_contra = TypeVar("Origin_contra", contravariant=True)


class DataInput(Protocol[Origin_contra]):
    """A machine's method for a message of a connection."""

    def __call__(self, data: bytes, origin: Origin_contra, /, *, now: float) -> object:
        """Take it; say whether it may have brought a deadline near."""


class Driver(Generic[Output]):
    """Runs ``machine`` on the running loop.

    :param carry: does what an output says. It may feed this driver again: the input waits until the outputs are out.
    :param crashed: is told the exception when the machine or ``carry`` raises, and closes the driver if the machine is
        not to go on. A bug ends one call, never the process.
    """

    def __init__(
        self, machine: Machine[Output], *, carry: Callable[[Output], None], crashed: Callable[[Exception], None]
    ) -> None:
        self._machine = machine
        self._poll = machine.poll
        self._carry = carry
        self._crashed = crashed
        self._loop = asyncio.get_running_loop()
        self._inbox: list[Input] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._is_busy = False
        self.is_closed = False

    def feed(self, receive: Callable[..., object], *arguments: object) -> None:
        """Give the machine an input, now or as soon as the present one is done.

        :param receive: a method of the machine's; it gets the arguments and the time.
        """
        if self._is_busy or self.is_closed:
            if not self.is_closed:
                self._inbox.append(partial(receive, *arguments))
            return
        self._is_busy = True
        crashed = self._crashed
        try:
            self._step(partial(receive, *arguments))
            self._settle()
        except Exception as error:  # noqa: BLE001 - any bug of this one machine
            self._fail(crashed, error)
        finally:
            self._is_busy = False

    def feed_data(self, receive: DataInput[Origin_contra], data: bytes, origin: Origin_contra, now: float) -> None:
        """The same for data that was read at ``now``; flat, for all of a call's messages come through it.

        A look at the machine's timer afterwards would be a tenth of the cost, so there is one only when ``receive``
        returns that a deadline may have come near.
        """
        if self._is_busy or self.is_closed:
            self.feed(receive, data, origin)
            return
        self._is_busy = True
        poll, carry, crashed = self._poll, self._carry, self._crashed
        try:
            looks = receive(data, origin, now=now)
            while (output := poll()) is not None:
                carry(output)
            if looks or self._inbox:
                self._settle()
        except Exception as error:  # noqa: BLE001 - any bug of this one machine
            self._fail(crashed, error)
        finally:
            self._is_busy = False

    def feed_packet(self, talker: Talker[Output], data: bytes, source: Address, now: float) -> None:
        """The same for a packet.

        :param talker: the machine.
        """
        if self._is_busy or self.is_closed:
            self.feed(talker.receive_rtp, data, source)
            return
        self._is_busy = True
        carry, crashed = self._carry, self._crashed
        try:
            looks = talker.receive_rtp(data, source, now=now)
            while (output := talker.poll()) is not None:
                carry(output)
            if looks or self._inbox:
                self._settle()
        except Exception as error:  # noqa: BLE001 - any bug of this one machine
            self._fail(crashed, error)
        finally:
            self._is_busy = False

    def feed_tick(self, talker: Talker[Output], carrier: Carrier, now: float) -> None:
        """The same for a tick of the call's clock."""
        if self._is_busy or self.is_closed:
            self.feed(carrier.send_packet)
            return
        self._is_busy = True
        carry, crashed = self._carry, self._crashed
        try:
            looks = carrier.send_packet(now=now)
            while (output := talker.poll()) is not None:
                looks = True
                carry(output)
            if looks or self._inbox:
                self._settle()
        except Exception as error:  # noqa: BLE001 - any bug of this one machine
            self._fail(crashed, error)
        finally:
            self._is_busy = False

    def close(self) -> None:
        """Drive no more, and let go of whoever was told: it holds us, and would not be freed by being let go of."""
        self.is_closed = True
        self._inbox.clear()
        self._carry = self._crashed = _ignore
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf

    def _step(self, receive: Input) -> None:
        poll, carry = self._poll, self._carry
        receive(now=monotonic())
        while (output := poll()) is not None:
            carry(output)

    def _settle(self) -> None:
        """Take what came from within, and look at the timer."""
        while self._inbox:
            self._step(self._inbox.pop(0))
        self._arm()

    def _fail(self, crashed: Callable[[Exception], None], error: Exception) -> None:
        """Tell of a bug; who was to be told before it happened is told, for the driver may be closed by now."""
        crashed(error)
        if not self.is_closed:
            self._loop.call_later(PAUSE_S, self.feed, _nothing)

    def _arm(self) -> None:
        due_at = None if self.is_closed else self._machine.get_timer()
        if due_at is None or self._timer_at <= due_at:
            return  # a timer that fires too early looks again; to move it with every packet would cost more
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(on_grid(due_at, TOGETHER_S), self._on_timer), due_at

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        self.feed(self._fire)

    def _fire(self, *, now: float) -> None:
        due_at = self._machine.get_timer()
        if due_at is not None and due_at <= now + EARLY_S:
            self._machine.handle_timer(now=max(due_at, now))


def _ignore(_told: object) -> None:
    """Nobody is told any more."""


def _nothing(*, now: float) -> None:
    """An input that is none: what waits is drained, and the timer armed."""
