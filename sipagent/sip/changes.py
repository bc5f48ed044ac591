"""How a call that is there is changed by us, and kept alive: re-INVITEs, UPDATEs, and the refreshes of its timer.

One change at a time. A refresh says again what was agreed on: as an UPDATE without a body, or to a peer that does not
take UPDATE as a re-INVITE with our last description, whose version has not changed (:rfc:`4028#section-7.4`).
"""

from typing import Protocol

from sipagent.errors import LocalProtocolError
from sipagent.sip.core import CONTENT_TYPE, Core, HeaderList
from sipagent.sip.dialog import Dialog
from sipagent.sip.events import Accepted, Refreshed, ReinviteRejected, UpdateAccepted
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response
from sipagent.sip.refresh import Refresh
from sipagent.sip.reinvite import Reinvite
from sipagent.sip.session_timer import SessionTimer
from sipagent.sip.update import Update

EXPIRED = (("Reason", 'SIP;cause=408;text="Session timer expired"'),)
"""What the BYE says that ends a call nobody refreshed."""


class ChangesOwner(Protocol):
    """The session that changes."""

    @property
    def is_peer_inviting(self) -> bool:
        """Whether an INVITE of the peer's is in progress, so that ours must wait."""

    def tell(self, event: Accepted | Refreshed | ReinviteRejected | UpdateAccepted) -> None:
        """Something for the application, if the call still is."""

    def give_up(self, reason: str, status: int | None, headers: HeaderList = (), *, now: float) -> None:
        """The peer has no such call any more, or does not answer."""


class Changes:
    """What we do to one call."""

    def __init__(
        self,
        core: Core,
        handle: int,
        owner: ChangesOwner,
        timer: SessionTimer,
        *,
        is_call_id_ours: bool,
        line: Line | None,
    ) -> None:
        self.description = b""
        """Ours, as it was last agreed on."""
        self._core = core
        self._handle = handle
        self._owner = owner
        self._timer = timer
        self._is_call_id_ours = is_call_id_ours
        self._line = line
        self._dialog: Dialog | None = None
        self._methods: frozenset[str] = frozenset()
        self._reinvite: Reinvite | None = None
        self._update: Update | None = None
        self._refresh = Refresh(core, timer, self)
        self._is_over = False

    @property
    def is_offering(self) -> bool:
        """Whether an offer of ours is on its way, unanswered."""
        reinvite, update = self._reinvite, self._update
        is_updating = update is not None and bool(update.body) and update.is_on_the_way
        return is_updating or (reinvite is not None and reinvite.is_on_the_way)

    def begin(self, dialog: Dialog, *, now: float) -> None:
        """The call is up, or was refreshed by the peer."""
        self._dialog = dialog
        self._refresh.wind_up(now=now)

    def learn(self, message: Request | Response) -> None:
        """Remember what methods the peer takes."""
        if "Allow" in message.headers:
            self._methods = frozenset(message.allow)

    def reinvite(self, body: bytes, *, now: float, is_refresh: bool = False) -> None:
        """Offer something else in a call that is up."""
        dialog = self._idle_dialog(self._dialog)
        if self._owner.is_peer_inviting:
            raise LocalProtocolError("another INVITE is still in progress")
        self._reinvite = Reinvite(
            self._core,
            dialog,
            body,
            self,
            timer=self._timer,
            is_call_id_ours=self._is_call_id_ours,
            line=self._line,
            is_refresh=is_refresh,
        )
        self._reinvite.start(now=now)

    def update(self, body: bytes, dialog: Dialog | None = None, *, now: float) -> None:
        """Offer something else, in this early dialog or in the call that is up; without a body only refresh it."""
        dialog = self._idle_dialog(dialog or self._dialog)
        self._update = Update(
            self._core, dialog, body, self, timer=self._timer, is_call_id_ours=self._is_call_id_ours, line=self._line
        )
        self._update.start(now=now)

    def overrule(self, *, now: float) -> None:
        """The peer's own offer was accepted: what we wanted to offer is out of date."""
        if self._update is not None and self._update.body and not self._update.is_on_the_way:
            self._update.stop()
            self._update = None
            self._owner.tell(ReinviteRejected(self._handle, 491))
        reinvite, self._reinvite = self._reinvite, None
        if reinvite is not None:
            reinvite.stop(now=now)
            if reinvite.is_refresh:
                self._retry(None, now)
            else:
                self._owner.tell(ReinviteRejected(self._handle, 491))

    def stop(self, *, now: float) -> None:
        """The call is over."""
        self._is_over = True
        self._refresh.stop()
        if self._update is not None:
            self._update.stop()
        if self._reinvite is not None:
            self._reinvite.stop(now=now)

    def leave(self, former: ChangesOwner) -> None:
        """The session is gone; ``former`` stands in its place."""
        self._owner = former
        self._refresh.stop()
        self._reinvite = self._update = None

    # What becomes of our requests.

    @property
    def is_peer_inviting(self) -> bool:
        """Whether a re-INVITE of ours must wait."""
        return self._owner.is_peer_inviting

    def on_reinvite_accepted(self, reinvite: Reinvite, response: Response, *, now: float) -> None:
        """The session has changed, or is confirmed to be as it was."""
        if reinvite is self._reinvite:
            self._reinvite = None
        self._on_success(reinvite.body, response, now)
        if reinvite.is_refresh:
            self._owner.tell(Refreshed(self._handle, reinvite.answer))
        else:
            self._owner.tell(Accepted(self._handle, response, reinvite.answer))

    def on_reinvite_refused(self, reinvite: Reinvite, status: int, retry_s: int | None, *, now: float) -> None:
        """The call goes on as before, unless the peer knows of none or is silent (:rfc:`3261#section-14.1`)."""
        if reinvite is self._reinvite:
            self._reinvite = None
        if status in (408, 481):
            self._give_up(status, now)
        elif reinvite.is_refresh:
            self._retry(retry_s, now)
        else:
            self._owner.tell(ReinviteRejected(self._handle, status))

    def on_update_accepted(self, update: Update, response: Response, *, now: float) -> None:
        """As above, at once."""
        self._update = None
        self._on_success(update.body, response, now)
        if update.body:
            self._owner.tell(UpdateAccepted(self._handle, response, response.content(CONTENT_TYPE) or b""))

    def on_update_refused(self, update: Update, status: int, retry_s: int | None, *, now: float) -> None:
        """The same for UPDATE; a peer that does not know it may know a re-INVITE."""
        self._update = None
        if status in (408, 481):
            self._give_up(status, now)
        elif update.body:
            self._owner.tell(ReinviteRejected(self._handle, status))
        elif status in (405, 501) and self.description:
            self._methods -= {"UPDATE"}
            self.on_refresh_due(now=now)
        else:
            self._retry(retry_s, now)

    # The session timer.

    def on_refresh_due(self, *, now: float) -> None:
        """Refresh, unless something is in progress, which is a refresh itself if it succeeds."""
        if self._reinvite is not None or self._update is not None or self._owner.is_peer_inviting:
            self._retry(None, now)
        elif "UPDATE" in self._methods or not self.description:
            self.update(b"", now=now)
        else:
            self.reinvite(self.description, now=now, is_refresh=True)

    def on_expired(self, *, now: float) -> None:
        """Nobody refreshed the call (:rfc:`4028#section-10`)."""
        self._owner.give_up("expired", None, EXPIRED, now=now)

    def _on_success(self, body: bytes, response: Response, now: float) -> None:
        self.description = body or self.description
        self.learn(response)
        if self._dialog is not None and not self._is_over:
            self._timer.receive_success(response)
            self._refresh.wind_up(now=now)

    def _retry(self, after_s: float | None, now: float) -> None:
        if not self._is_over:
            self._refresh.retry(after_s, now=now)

    def _give_up(self, status: int, now: float) -> None:
        self._owner.give_up("timeout" if status == 408 else "rejected", status, now=now)

    def _idle_dialog(self, dialog: Dialog | None) -> Dialog:
        if dialog is None or self._reinvite is not None or self._update is not None:
            raise LocalProtocolError("another change is still in progress")
        return dialog
