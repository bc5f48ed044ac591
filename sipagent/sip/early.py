"""Early dialogs (:rfc:`3261#section-12.1.2`): the telephones that ring for one INVITE of ours, told apart by tag.

Whoever forwards our INVITE may ring several at once, and the tag may change between 180 and 200. Each telephone has an
order of reliable responses (:rfc:`3262#section-4`), a count of requests and a description of its own; what was learnt
while it rang goes on when it answers.
"""

from collections.abc import Iterator

from sipagent.sip.core import CONTENT_TYPE, Core
from sipagent.sip.dialog import Dialog, DialogId
from sipagent.sip.events import Flow
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response
from sipagent.sip.prack import Pracks
from sipagent.sip.reliable import read_rseq

EARLY_MAX = 16
"""Telephones of one call that are told apart; what others say is passed on, but nothing is remembered of it."""


class EarlyDialog:
    """One telephone that rings."""

    def __init__(self, dialog: Dialog, pracks: Pracks) -> None:
        self.dialog = dialog
        self.pracks = pracks
        self.is_exchanged = False
        """Whether its answer came reliably, so that either side may offer anew (:rfc:`3311#section-5.1`)."""
        self.description = b""
        """Its last answer to the INVITE; empty again once an UPDATE has changed what was agreed on."""


class EarlyDialogs:
    """All telephones that ring for one INVITE."""

    def __init__(self, core: Core, line: Line | None) -> None:
        self._core = core
        self._line = line
        self._by_tag: dict[str, EarlyDialog] = {}

    def __iter__(self) -> Iterator[DialogId]:
        return (early.dialog.id for early in self._by_tag.values())

    def find(self, tag: str) -> EarlyDialog | None:
        """Find a telephone by its tag."""
        return self._by_tag.get(tag)

    def receive(self, request: Request, response: Response, flow: Flow, *, now: float) -> bool:
        """Take a provisional response to our INVITE, and acknowledge it where that is wanted.

        :return: whether it is news: no copy, and none that overtook another.
        """
        is_reliable = read_rseq(response) is not None
        early = self._open(request, response, flow)
        if early is None:
            return not is_reliable
        if not early.pracks.receive(response, now=now):
            return False
        body = response.content(CONTENT_TYPE) or b""
        if body and not early.is_exchanged:
            early.description = body
            early.is_exchanged = is_reliable
        return True

    def confirm(self, dialog: Dialog) -> EarlyDialog | None:
        """Let the dialog of a 2xx go on counting where its early one stopped; return that, if there was one."""
        early = self._by_tag.get(dialog.remote.tag or "")
        if early is not None:
            dialog.local_sequence = max(dialog.local_sequence, early.dialog.local_sequence)
            dialog.remote_sequence = early.dialog.remote_sequence
        return early

    def _open(self, request: Request, response: Response, flow: Flow) -> EarlyDialog | None:
        tag = response.to.tag
        if tag and tag not in self._by_tag and len(self._by_tag) < EARLY_MAX:
            dialog = Dialog.from_response(request, response, flow)
            self._by_tag[tag] = EarlyDialog(dialog, Pracks(self._core, dialog, self._line))
        return self._by_tag.get(tag or "")
