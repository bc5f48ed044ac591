"""A BYE of ours (:rfc:`3261#section-15.1.1`): any final response will do, and so will none."""

from typing import Protocol

from sipagent.sip.client import Client
from sipagent.sip.core import Core, HeaderList
from sipagent.sip.dialog import Dialog
from sipagent.sip.message import Response


class ByeOwner(Protocol):
    """The session that ends."""

    def on_goodbye(self) -> None:
        """Nothing more can come of the BYE."""


class Bye:
    """The end of one dialog; over a lost connection it gets a second chance, by way of the Contact."""

    def __init__(self, core: Core, dialog: Dialog, headers: HeaderList, owner: ByeOwner) -> None:
        self._core = core
        self._dialog = dialog
        self._headers = tuple(headers)
        self._owner = owner
        self._has_second_chance = True

    def start(self, *, now: float) -> None:
        """Send it."""
        request = self._dialog.make_request("BYE", self._headers)
        Client(self._core, request, self._dialog.hop(), self).start(now=now)

    def receive_response(self, response: Response, *, now: float) -> None:
        """It was heard."""
        if response.status >= 200:
            self._owner.on_goodbye()

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """It was not."""
        if failure == "transport" and self._has_second_chance:
            self._has_second_chance = False
            self._dialog.is_flow_better = False
            self.start(now=now)
        else:
            self._owner.on_goodbye()
