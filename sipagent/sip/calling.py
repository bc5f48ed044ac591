"""A call of ours until somebody answers it: its tries, and the telephones that ring meanwhile.

A try that is refused may be followed by another of the same call (:rfc:`3261#section-8.1.3.4`): with a longer session
interval after a 422, or to where a 3xx leads, if the line allows it. Of several telephones that answer the first one
has the call; the others are acknowledged and then hung up (:rfc:`3261#section-13.2.2.4`).
"""

from dataclasses import replace
from typing import Protocol

from sipagent.sip.client import Client
from sipagent.sip.core import CONTENT_TYPE, Core
from sipagent.sip.dialog import Dialog, DialogId
from sipagent.sip.early import EarlyDialog, EarlyDialogs
from sipagent.sip.events import Hop
from sipagent.sip.headers import CSeq
from sipagent.sip.invite_client import InviteClient
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response
from sipagent.sip.redirect import Redirects
from sipagent.sip.session_timer import SessionTimer
from sipagent.sip.uri import Uri


class CallingOwner(Protocol):
    """The session that begins."""

    def on_early_dialog(self, dialog_id: DialogId) -> None:
        """Requests within this dialog belong to the call."""

    def on_ringing(self, response: Response, body: bytes) -> None:
        """A provisional response."""

    def on_answered(self, dialog: Dialog, response: Response, body: bytes, *, is_expired: bool, now: float) -> None:
        """The first 2xx, which is acknowledged; after we gave up waiting it is too late."""

    def on_unanswered(self, reason: str, status: int | None, *, now: float) -> None:
        """Nobody answers, or nobody heard."""


class Calling:
    """One call of ours."""

    def __init__(
        self, core: Core, request: Request, hop: Hop, owner: CallingOwner, *, timer: SessionTimer, line: Line | None
    ) -> None:
        self.early = EarlyDialogs(core, line)
        self._core = core
        self._owner = owner
        self._timer = timer
        self._line = line
        self._redirects = Redirects(request.uri, line)
        self._is_answered = False
        self._client: InviteClient | None = self._make_client(request, hop)
        """The present try; ``None`` when there was an answer, or nobody is left to try."""

    def start(self, *, now: float) -> None:
        """Send the INVITE of the present try."""
        if self._client is not None:
            self._client.start(now=now)

    def cancel(self, *, now: float) -> None:
        """Take it back; a final response comes all the same, and it may be a 2xx."""
        self._redirects.clear()
        if self._client is not None:
            self._client.cancel(now=now)

    # What becomes of a try.

    def on_provisional(self, client: InviteClient, response: Response, *, now: float) -> None:
        """It rings somewhere."""
        known = set(self.early)
        if self.early.receive(client.request, response, client.flow, now=now):
            for dialog_id in set(self.early) - known:
                self._owner.on_early_dialog(dialog_id)
            self._owner.on_ringing(response, response.content(CONTENT_TYPE) or b"")

    def on_accepted(self, client: InviteClient, response: Response, *, now: float) -> None:
        """Somebody answers."""
        dialog = Dialog.from_response(client.request, response, client.flow)
        early = self.early.confirm(dialog)
        client.acknowledge(dialog, response)
        if self._is_answered:
            self._core.counters["forks_hung_up"] += 1
            Client(self._core, dialog.make_request("BYE"), dialog.hop(), line=self._line).start(now=now)
            return
        self._is_answered = True
        self._client = None
        body = _last_word(early, response.content(CONTENT_TYPE) or b"")
        self._owner.on_answered(dialog, response, body, is_expired=client.is_expired, now=now)

    def on_refused(self, client: InviteClient, response: Response, *, now: float) -> None:
        """Try again if that makes sense; after we gave up waiting, a refusal only confirms it."""
        if client.is_expired:
            self._give_up("timeout", None, now)
        elif client.is_cancelled:
            self._give_up("rejected", response.status, now)
        elif response.status == 422 and self._timer.raise_interval(response):
            self._try_again(client.request, client.request.uri, self._hop, now)
        else:
            self._redirects.receive(response)
            self._try_next(client.request, "rejected", response.status, now)

    def on_failed(self, client: InviteClient, failure: str, *, now: float) -> None:
        """No final response."""
        self._try_next(client.request, failure, None, now)

    def _give_up(self, reason: str, status: int | None, now: float) -> None:
        self._client = None
        self._owner.on_unanswered(reason, status, now=now)

    def _try_next(self, old: Request, reason: str, status: int | None, now: float) -> None:
        target = self._redirects.pop()
        if target is None:
            self._give_up(reason, status, now)
        else:
            self._core.counters["redirects_followed"] += 1
            self._try_again(old, target, self._line.first_hop(target) if self._line else target, now)

    def _try_again(self, old: Request, target: Uri, hop: Hop, now: float) -> None:
        """Send the same call again, as a request of its own (:rfc:`3261#section-8.1.3.4`)."""
        headers = old.headers.copy()
        for name in ("Via", "Authorization", "Proxy-Authorization", "Session-Expires", "Min-SE"):
            headers.remove(name)
        headers.set("CSeq", str(CSeq(old.cseq.number + 1, "INVITE")))
        self._client = self._make_client(replace(old, uri=target, headers=headers), hop)
        self.start(now=now)

    def _make_client(self, request: Request, hop: Hop) -> InviteClient:
        self._hop = hop
        for name, value in self._timer.request_headers():
            request.headers.set(name, value)
        return InviteClient(self._core, request, hop, self, line=self._line)


def _last_word(early: EarlyDialog | None, body: bytes) -> bytes:
    """Return the answer to our offer: of the 2xx, else what came while it rang; nothing if that is out of date."""
    if early is None:
        return body
    return b"" if early.is_exchanged and not early.description else body or early.description
