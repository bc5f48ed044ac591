"""Which worker has which call: who gets the next one, whose a handle is, and what is lost with a worker that dies.

A machine of the shell's: no I/O and no clock in it. A call is told of by our id; it has a handle for each dialog, and
is over when its worker says so, which may be after its dialogs' ends and before them.
"""

from dataclasses import dataclass, field

BRIEF_S = 5.0
"""A worker that lives no longer died of something that another one would die of, too."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Before another is started in the place of such a one; doubled each time."""


@dataclass(slots=True)
class Ticket:
    """One call."""

    call_id: str
    worker: int
    handles: set[int] = field(default_factory=set)
    invite: int | None = None
    """The handle of the INVITE that it is of, as long as that is not answered."""
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """What died with a worker."""

    calls: tuple[Ticket, ...]
    handles: tuple[int, ...]
    """Of all its dialogs, which nobody attends to any more."""
    pause_s: float
    """How long to wait before there is another in its place."""


@dataclass(slots=True)
class _Seat:
    """The place of a worker, and of those that come after it."""

    is_up: bool = False
    is_pressed: bool = False
    started_at: float = 0.0
    pause_s: float = 0.0
    calls: int = 0


class Roster:
    """Of a fixed number of workers, numbered from 1."""

    def __init__(self, workers: int) -> None:
        self._seats = {number: _Seat() for number in range(1, workers + 1)}
        self._calls: dict[str, Ticket] = {}
        self._by_handle: dict[int, Ticket] = {}
        self.begun = 0
        """Calls that there ever were."""
        self.deaths = 0
        """Workers that died."""

    @property
    def calls(self) -> int:
        """How many there are now."""
        return len(self._calls)

    @property
    def up(self) -> int:
        """How many workers take calls."""
        return sum(seat.is_up for seat in self._seats.values())

    # Workers

    def worker_started(self, number: int, *, now: float) -> None:
        """A process begins in this place."""
        self._seats[number].started_at = now

    def worker_ready(self, number: int) -> None:
        """It takes calls from now on."""
        self._seats[number].is_up = True

    def worker_pressed(self, number: int, is_pressed: bool) -> None:
        """It has as much to do as it can, or not any more."""
        self._seats[number].is_pressed = is_pressed

    def worker_died(self, number: int, *, now: float) -> Loss:
        """It is gone; say what with it."""
        self.deaths += 1
        seat = self._seats[number]
        is_brief = now < seat.started_at + BRIEF_S
        seat.pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * seat.pause_s)) if is_brief else 0.0
        seat.is_up, seat.is_pressed, seat.calls = False, False, 0
        calls = tuple(ticket for ticket in self._calls.values() if ticket.worker == number)
        handles = tuple(handle for handle, ticket in self._by_handle.items() if ticket.worker == number)
        for ticket in calls:
            del self._calls[ticket.call_id]
        for handle in handles:
            del self._by_handle[handle]
        return Loss(calls, handles, seat.pause_s)

    def choose(self) -> int | None:
        """Of the workers that are up, and not pressed, the one with the fewest calls; ``None`` when there is none."""
        free = [number for number, seat in self._seats.items() if seat.is_up and not seat.is_pressed]
        return min(free, key=lambda number: self._seats[number].calls, default=None)

    # Calls

    def begin(self, call_id: str, worker: int, handle: int | None = None) -> None:
        """A call goes to a worker."""
        self._calls[call_id] = Ticket(call_id, worker, invite=handle)
        self._seats[worker].calls += 1
        self.begun += 1
        if handle is not None:
            self.join(handle, call_id)

    def join(self, handle: int, call_id: str) -> bool:
        """A dialog belongs to a call; return whether there still is such a call."""
        ticket = self._calls.get(call_id)
        if ticket is not None:
            ticket.handles.add(handle)
            self._by_handle[handle] = ticket
        return ticket is not None

    def answered(self, handle: int, *, now: float) -> None:
        """A dialog is up; the first one makes the call answered."""
        ticket = self._by_handle.get(handle)
        if ticket is not None and ticket.answered_at is None:
            ticket.invite, ticket.answered_at = None, now

    def ticket_of(self, handle: int) -> Ticket | None:
        """The call of a dialog, which may be over."""
        return self._by_handle.get(handle)

    def worker_with(self, call_id: str) -> int | None:
        """Who has a call."""
        ticket = self._calls.get(call_id)
        return None if ticket is None else ticket.worker

    def dialog_ended(self, handle: int) -> None:
        """Nothing more comes of a handle."""
        ticket = self._by_handle.pop(handle, None)
        if ticket is not None:
            ticket.handles.discard(handle)

    def over(self, call_id: str) -> None:
        """A call is over; to say so twice is no error."""
        ticket = self._calls.pop(call_id, None)
        if ticket is not None:
            self._seats[ticket.worker].calls -= 1
