"""The INVITE sessions of a user agent, found by handle and by dialog."""

from collections.abc import Iterator

from sipagent.errors import LocalProtocolError
from sipagent.sip.core import Core
from sipagent.sip.dialog import DialogId
from sipagent.sip.invite import InviteSession, Phase
from sipagent.sip.line import Line
from sipagent.sip.message import Request


class Sessions:
    """The table; each session keeps its own rows up to date."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_handle: dict[int, InviteSession] = {}
        self._last_handle = 0
        self.by_dialog: dict[DialogId, InviteSession] = {}

    def __len__(self) -> int:
        return len(self._by_handle)

    def __iter__(self) -> Iterator[InviteSession]:
        return iter([*self._by_handle.values()])

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._by_handle) >= self._core.settings.max_sessions

    def open(self, phase: Phase, line: Line | None) -> InviteSession:
        """Begin one."""
        self._last_handle += 1
        session = InviteSession(self._core, self._last_handle, phase, self, line=line)
        self._by_handle[self._last_handle] = session
        return session

    def get(self, handle: int) -> InviteSession:
        """Return the session of a handle.

        :raises LocalProtocolError: when there is none.
        """
        try:
            return self._by_handle[handle]
        except KeyError:
            raise LocalProtocolError(f"there is no session {handle}") from None

    def find(self, request: Request) -> InviteSession | None:
        """Return the session that a request of the peer's is in."""
        return self.by_dialog.get((request.call_id, request.to.tag or "", request.from_.tag or ""))

    def is_ahead(self, request: Request) -> bool:
        """Whether a re-INVITE overtook the 2xx that opens its dialog: another try will find it open."""
        return request.method == "INVITE" and (request.call_id, request.to.tag or "", "") in self.by_dialog

    # What sessions tell.

    def on_dialogs(self, session: InviteSession, dialog_ids: frozenset[DialogId]) -> None:
        """Find the session by these from now on, and by what it had before no more."""
        for dialog_id in session.dialog_ids:
            self.by_dialog.pop(dialog_id, None)
        self.by_dialog.update(dict.fromkeys(dialog_ids, session))

    def on_gone(self, session: InviteSession) -> None:
        """Forget the session."""
        self._by_handle.pop(session.handle, None)
        for dialog_id in session.dialog_ids:
            self.by_dialog.pop(dialog_id, None)
