"""A question to a registrar: would it take us?

A REGISTER without a Contact changes nothing, but is challenged all the same (:rfc:`3261#section-10.2.3`).
"""

from sipagent.sip.client import Client
from sipagent.sip.core import Core
from sipagent.sip.events import Queried
from sipagent.sip.line import Line
from sipagent.sip.message import Response
from sipagent.sip.register import make_register
from sipagent.sip.uri import Uri


class RegistrarQuery:
    """One question to one registrar; :class:`~sipagent.sip.events.Queried` is the answer."""

    def __init__(self, core: Core, line: Line, registrar: Uri) -> None:
        self._core = core
        self._account = line.account.name
        self._registrar = registrar
        request = make_register(core, line, call_id=core.new_identifier(), sequence=1)
        self._client = Client(core, request, registrar, self, line=line)

    def start(self, *, now: float) -> None:
        """Ask."""
        self._client.start(now=now)

    def receive_response(self, response: Response, *, now: float) -> None:
        """It answers."""
        if response.status >= 200:
            self._core.emit(Queried(self._account, self._registrar, response))

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """It does not."""
        self._core.emit(Queried(self._account, self._registrar, None))
