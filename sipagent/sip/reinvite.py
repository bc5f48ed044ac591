"""A re-INVITE of ours (:rfc:`3261#section-14.1`): one offer, tried again when it collides with the peer's own."""

from enum import Enum
from typing import Protocol

from sipagent.sip.core import CONTENT_TYPE, Core
from sipagent.sip.dialog import Dialog
from sipagent.sip.glare import Glare
from sipagent.sip.headers import read_seconds
from sipagent.sip.invite_client import InviteClient
from sipagent.sip.line import Line
from sipagent.sip.message import Response
from sipagent.sip.prack import Pracks
from sipagent.sip.session_timer import SessionTimer


class Timer(Enum):
    """What a re-INVITE waits for."""

    GLARE = "glare"


class ReinviteOwner(Protocol):
    """The session that is to change."""

    @property
    def is_peer_inviting(self) -> bool:
        """Whether an INVITE of the peer's is in progress, so that ours must wait."""

    def on_reinvite_accepted(self, reinvite: "Reinvite", response: Response, *, now: float) -> None:
        """A 2xx, which is acknowledged."""

    def on_reinvite_refused(self, reinvite: "Reinvite", status: int, retry_s: int | None, *, now: float) -> None:
        """A refusal; 408 also when nothing came, 503 when nothing could be sent (:rfc:`3261#section-8.1.3.1`)."""


class Reinvite:
    """One offer of ours within a call.

    :param is_refresh: it repeats what was agreed on, for the session timer's sake.
    """

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        body: bytes,
        owner: ReinviteOwner,
        *,
        timer: SessionTimer,
        is_call_id_ours: bool,
        line: Line | None = None,
        is_refresh: bool = False,
    ) -> None:
        self.body = body
        self.is_refresh = is_refresh
        self.answer = b""
        """Of the 2xx, else of what came before it."""
        self._line = line
        self._core = core
        self._dialog = dialog
        self._owner = owner
        self._timer = timer
        self._glare = Glare(core.random, is_call_id_ours=is_call_id_ours)
        self._client: InviteClient | None = None

    @property
    def is_on_the_way(self) -> bool:
        """Whether an INVITE waits for its final response; if not, the next try waits for its time."""
        return self._client is not None

    def start(self, *, now: float) -> None:
        """Send an INVITE."""
        headers = self._core.session_headers(None, self.body, product="User-Agent", line=self._line)
        headers += self._timer.request_headers()
        request = self._dialog.make_request("INVITE", headers, self.body)
        self._pracks = Pracks(self._core, self._dialog, self._line)
        self._client = InviteClient(self._core, request, self._dialog.hop(), self, line=self._line)
        self._client.start(now=now)

    def stop(self, *, now: float) -> None:
        """Try no more, and take back what is on the way."""
        self._core.timers.cancel((self, Timer.GLARE))
        if self._client is not None:
            self._client.cancel(now=now)

    def on_provisional(self, client: InviteClient, response: Response, *, now: float) -> None:
        """That the peer thinks about it changes nothing, but it may want to know that we know."""
        body = response.content(CONTENT_TYPE) or b""
        if self._pracks.receive(response, now=now) and body:
            self.answer = body

    def on_accepted(self, client: InviteClient, response: Response, *, now: float) -> None:
        """Acknowledge, by way of what may be a new Contact."""
        self._client = None
        self.answer = response.content(CONTENT_TYPE) or self.answer
        self._dialog.refresh_target(response, client.flow)
        client.acknowledge(self._dialog, response)
        self._owner.on_reinvite_accepted(self, response, now=now)

    def on_refused(self, client: InviteClient, response: Response, *, now: float) -> None:
        """Ask for a longer interval after a 422, wait a while after a 491, else let the session judge."""
        self._client = None
        if response.status == 422 and not client.is_cancelled and self._timer.raise_interval(response):
            self.start(now=now)
            return
        delay_s = None if client.is_cancelled else self._glare.delay_s(response)
        if delay_s is not None:
            self._core.timers.set((self, Timer.GLARE), now + delay_s)
        else:
            retry_s = read_seconds(response.headers, "Retry-After")
            self._owner.on_reinvite_refused(self, response.status, retry_s, now=now)

    def on_failed(self, client: InviteClient, failure: str, *, now: float) -> None:
        """No final response."""
        self._client = None
        self._owner.on_reinvite_refused(self, 408 if failure == "timeout" else 503, None, now=now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Time for the next try, unless the peer is at it."""
        if self._owner.is_peer_inviting:
            self._core.timers.set((self, Timer.GLARE), now + self._glare.pause_s())
        else:
            self.start(now=now)
