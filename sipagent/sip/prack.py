"""The PRACKs of ours (:rfc:`3262#section-4`): each reliable provisional response of one dialog gets one, in order."""

from sipagent.sip.client import Client
from sipagent.sip.core import Core
from sipagent.sip.dialog import Dialog
from sipagent.sip.line import Line
from sipagent.sip.message import Response
from sipagent.sip.reliable import RAck, ReliableOrder, read_rseq


class Pracks:
    """What acknowledges the responses to one INVITE in one dialog."""

    def __init__(self, core: Core, dialog: Dialog, line: Line | None) -> None:
        self._core = core
        self._dialog = dialog
        self._line = line
        self._order = ReliableOrder()

    def receive(self, response: Response, *, now: float) -> bool:
        """Take a provisional response, and acknowledge it if it wants that.

        :return: whether it is news: no copy, and none that overtook another.
        """
        number = read_rseq(response)
        if number is None:
            return True
        if not self._order.receive(number):
            return False
        request = self._dialog.make_request("PRACK", [("RAck", str(RAck(number, response.cseq)))])
        Client(self._core, request, self._dialog.hop(), line=self._line).start(now=now)
        return True
