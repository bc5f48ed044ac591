"""What stands in the place of an INVITE session that is gone, for those of its parts that a late word may still reach.

A session and its parts hold each other. Once it expects no more messages it puts this in its own place, so that what is
left of a call is freed with its last transaction, and nobody has to search for cycles while other calls wait.
"""

from sipagent.sip.core import HeaderList
from sipagent.sip.dialog import Dialog
from sipagent.sip.early import EarlyDialog
from sipagent.sip.events import Event
from sipagent.sip.invite_server import InviteServer
from sipagent.sip.line import Line
from sipagent.sip.message import Request


class FormerSession:
    """It is in no dialog, and nothing concerns it any more."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.line: Line | None = None
        self.dialog: Dialog | None = None
        self.server: InviteServer | None = None
        self.may_refer = False
        self.is_up = False
        self.is_calling = False
        self.is_peer_inviting = False

    def dialog_of(self, request: Request) -> None:
        """It has none."""

    def early_of(self, request: Request) -> EarlyDialog | None:
        """Nobody rings."""
        return None

    def tell(self, event: Event) -> None:
        """The application was told the end."""

    def give_up(self, reason: str, status: int | None, headers: HeaderList = (), *, now: float) -> None:
        """It is given up."""
