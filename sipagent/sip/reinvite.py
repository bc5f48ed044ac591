"""A re-INVITE of ours (:rfc:`3261#section-14.1`): one offer, tried again when it collides with the peer's own."""

from enum import Enum
from typing import Protocol

from sipagent.sip.core import Core
from sipagent.sip.dialog import Dialog
from sipagent.sip.invite_client import InviteClient
from sipagent.sip.line import Line
from sipagent.sip.message import Response

GLARES_MAX = 8
"""Tries that end in 491 before the offer is given up: chance delays of seconds rarely collide even twice."""

OWNER_STEPS = (210, 400)
PEER_STEPS = (0, 200)
"""How many times 10 ms whoever made the Call-ID waits before the next try, and how many the other."""


class Timer(Enum):
    """What a re-INVITE waits for."""

    GLARE = "glare"


class ReinviteOwner(Protocol):
    """The session that is to change."""

    @property
    def is_peer_inviting(self) -> bool:
        """Whether an INVITE of the peer's is in progress, so that ours must wait."""

    def on_reinvite_accepted(self, response: Response) -> None:
        """A 2xx, which is acknowledged."""

    def on_reinvite_refused(self, status: int, *, now: float) -> None:
        """A refusal; 408 also when nothing came, 503 when nothing could be sent (:rfc:`3261#section-8.1.3.1`)."""


class Reinvite:
    """One offer of ours within a call."""

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        body: bytes,
        owner: ReinviteOwner,
        *,
        is_call_id_ours: bool,
        line: Line | None = None,
    ) -> None:
        self._line = line
        self._core = core
        self._dialog = dialog
        self._body = body
        self._owner = owner
        self._steps = OWNER_STEPS if is_call_id_ours else PEER_STEPS
        self._glares = 0
        self._client: InviteClient | None = None

    @property
    def is_on_the_way(self) -> bool:
        """Whether an INVITE waits for its final response; if not, the next try waits for its time."""
        return self._client is not None

    def start(self, *, now: float) -> None:
        """Send an INVITE."""
        headers = self._core.session_headers(None, self._body, product="User-Agent")
        request = self._dialog.make_request("INVITE", headers, self._body)
        self._client = InviteClient(self._core, request, self._dialog.hop(), self, line=self._line)
        self._client.start(now=now)

    def stop(self, *, now: float) -> None:
        """Try no more, and take back what is on the way."""
        self._core.timers.cancel((self, Timer.GLARE))
        if self._client is not None:
            self._client.cancel(now=now)

    def on_provisional(self, response: Response) -> None:
        """That the peer thinks about it changes nothing."""

    def on_accepted(self, client: InviteClient, response: Response, *, now: float) -> None:
        """Acknowledge, by way of what may be a new Contact."""
        self._client = None
        self._dialog.refresh_target(response, client.flow)
        client.acknowledge(self._dialog, response)
        self._owner.on_reinvite_accepted(response)

    def on_refused(self, client: InviteClient, status: int, *, now: float) -> None:
        """Wait a while after a 491, else let the session judge."""
        self._client = None
        if status == 491 and self._glares < GLARES_MAX:
            self._wait(now)
        else:
            self._owner.on_reinvite_refused(status, now=now)

    def on_failed(self, failure: str, *, now: float) -> None:
        """No final response."""
        self._client = None
        self._owner.on_reinvite_refused(408 if failure == "timeout" else 503, now=now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Time for the next try, unless the peer is at it."""
        if self._owner.is_peer_inviting:
            self._wait(now)
        else:
            self.start(now=now)

    def _wait(self, now: float) -> None:
        self._glares += 1
        self._core.timers.set((self, Timer.GLARE), now + self._core.random.randint(*self._steps) / 100)
