"""The second dialog of a call: from its INVITE until it has taken the place of the first, or has come to nothing.

A PBX begins it with an INVITE that names the first dialog, or asks us by REFER to begin it; then the PBX is told how
it goes, and may hang up on us before it has come to anything.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sipagent.agent.quotation import quote_facts
from sipagent.aio.driver import Driver
from sipagent.aio.signalling import Signalling
from sipagent.call import events
from sipagent.call.call import Call
from sipagent.sip.events import Accepted, Ended, Event, IncomingInvite, Progressed, Referred
from sipagent.sip.targets import Targets

NOTICE = "From now on somebody else is on the line with you. They know nothing of what was said before."

LEAVE_S = 2.0
"""A peer that has what it wanted hangs up by itself; after that long we do, for it may wait for us to."""

UNAVAILABLE = 503
NOT_ACCEPTABLE = 488


@dataclass(frozen=True, slots=True)
class Way:
    """Where the call's media, and calls of ours, go."""

    account: str | None
    """By which we call; ``None`` where we can't."""
    targets: Targets | None
    """Whom we may be asked to call; ``None`` for nobody."""
    media_address: str
    """Where peers on this way are to send their RTP."""
    signalling_host: str


@dataclass(slots=True)
class Place:
    """The caller's place in a call."""

    handle: int | None
    """Of the dialog that has it; ``None`` as long as a call of ours is not dialled."""


class ReplacementRunner:
    """At most one second dialog at a time.

    :param place: what it is about; shared with the call's runner, which holds us, and which we therefore do not hold.
    :param keep: is told the handle of the second dialog, whose events are then to be given to :meth:`receive`, and the
        call's id.
    """

    def __init__(
        self,
        call: Call,
        driver: Driver[events.Output],
        place: Place,
        *,
        signalling: Signalling,
        way: Way,
        keep: Callable[[int, str], None],
    ) -> None:
        self._call = call
        self._driver = driver
        self._place = place
        self._signalling = signalling
        self._way = way
        self._keep = keep
        self._handle: int | None = None
        self._referred: Referred | None = None
        self._first_end: str | None = None

    def take(self, event: IncomingInvite, address: str) -> None:
        """Take an INVITE that is to replace the call's dialog.

        :param address: where its peer is to send RTP.
        """
        if self._is_busy or self._driver.is_closed:
            self._signalling.reject(event.handle, UNAVAILABLE)
            return
        self._handle = event.handle
        self._keep(event.handle, self._call.id)
        receive = partial(
            self._call.replacement.receive,
            event.body,
            address=address,
            signalling_host=event.flow.remote[0],
            notice=f"{NOTICE}\n{quote_facts(event.identity.facts())}",
        )
        self._driver.feed(receive)

    def refer(self, referred: Referred) -> None:
        """Call whom a trusted peer refers us to, if the line allows it."""
        way = self._way
        is_allowed = way.account is not None and way.targets is not None and way.targets.allows(referred.target)
        if self._is_busy or not is_allowed:
            self._signalling.refuse_refer(referred.handle)
            return
        self._referred = referred
        self._signalling.accept_refer(referred.handle)
        self._driver.feed(partial(self._call.replacement.offer, address=self._way.media_address))

    def carry(self, output: events.ReplacementCommand) -> None:
        """Carry out what the call commands."""
        signalling, handle = self._signalling, self._handle
        match output:
            case events.DialReplacement(offer):
                self._dial(offer)
            case events.AcceptReplacement(body) if handle is not None:
                signalling.accept(handle, body)
                first = self._switch(handle)
                if first is not None:
                    signalling.hang_up(first)
            case events.KeepReplacement() if handle is not None:
                self._report(200)
                first = self._switch(handle)
                if first is not None and self._first_end is None:
                    asyncio.get_running_loop().call_later(LEAVE_S, signalling.hang_up, first)
            case events.RejectReplacement(status) if handle is not None:
                self._handle = None
                signalling.reject(handle, status)
            case events.DropReplacement():
                if handle is not None:
                    signalling.hang_up(handle)
                self._fail(NOT_ACCEPTABLE)

    def receive(self, event: Event) -> None:
        """Take an event of the second dialog's; what comes of one that is no more is nobody's."""
        if getattr(event, "handle", None) != self._handle:
            return
        match event:
            case Progressed(_, response, _):
                self._report(response.status)
            case Accepted(_, _, body):
                receive = partial(
                    self._call.replacement.receive_answer,
                    body,
                    signalling_host=self._way.signalling_host,
                    notice=f"{NOTICE}\n{quote_facts({'called': str(self._referred.target) if self._referred else ''})}",
                )
                self._driver.feed(receive)
            case Ended(_, _, status):
                self._fail(status or UNAVAILABLE)

    def first_ended(self, reason: str) -> bool:
        """Take note that the first dialog is over; whether the call lives on, for the second may still be answered."""
        if self._handle is None or self._referred is None:
            return False
        self._first_end = reason
        return True

    def close(self) -> None:
        """The call is over: whoever is being called is not wanted any more."""
        if self._handle is not None:
            self._signalling.hang_up(self._handle)
            self._handle = None

    @property
    def _is_busy(self) -> bool:
        return self._handle is not None or self._referred is not None

    def _switch(self, handle: int) -> int | None:
        """Let the second dialog be the first; return what was."""
        first, self._place.handle = self._place.handle, handle
        self._handle = self._referred = None
        return first

    def _fail(self, status: int) -> None:
        """The second dialog has come to nothing; the call goes on, if it still has the first."""
        if self._referred is not None:
            self._report(status)
        self._handle = self._referred = None
        if self._first_end is not None:
            self._driver.feed(partial(self._call.leg_ended, self._first_end))

    def _dial(self, offer: bytes) -> None:
        referred = self._referred
        if referred is None or self._driver.is_closed:
            return
        headers = [] if referred.replaces is None else [("Replaces", str(referred.replaces))]
        if referred.referred_by is not None:
            headers.append(("Referred-By", str(referred.referred_by)))
        self._signalling.invite(
            self._way.account,
            referred.target,
            offer,
            headers,
            call_id=self._call.id,
            dialled=partial(self._on_dialled, referred),
            failed=lambda _: self._fail(UNAVAILABLE),
        )

    def _on_dialled(self, referred: Referred, handle: int) -> None:
        if self._driver.is_closed or self._referred is not referred:  # it was given up before the INVITE went out
            self._signalling.hang_up(handle)
            return
        self._handle = handle
        self._keep(handle, self._call.id)

    def _report(self, status: int) -> None:
        """Tell who referred us how it goes."""
        if self._place.handle is not None:
            self._signalling.report_refer(self._place.handle, status)
