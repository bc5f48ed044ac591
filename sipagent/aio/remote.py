"""The SIP of a worker's calls: what they command goes over the link to the process with the user agent."""

from collections.abc import Callable
from itertools import count

from sipagent.aio.signalling import Done, Failed
from sipagent.errors import SipagentError
from sipagent.sip.core import HeaderList
from sipagent.sip.events import Address, Flow
from sipagent.sip.uri import Uri


def _nothing() -> None:
    """Nobody waits for it."""


class RemoteSignalling:
    """A :class:`~sipagent.aio.signalling.Signalling`.

    :param tell: has something done by the front, by its name there.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        self.is_draining = False
        self._tell = tell
        self._address = ""
        self._numbers = count(1)
        self._waiting: dict[int, tuple[Callable[[int], None], Failed]] = {}

    def learn_address(self, address: str) -> None:
        """Take our address toward the peer of the call that is now being made; the front knows the routes."""
        self._address = address

    def address_toward(self, remote: Address) -> str:
        """Our address as the peer of the call sees it that is being made."""
        return self._address

    async def find_way(self, account: str, target: Uri) -> Flow:
        """Nothing for a worker: the front has found it when a call comes here."""
        raise SipagentError("the way is found by the process with the user agent")

    def ring(self, handle: int, body: bytes) -> None:
        """Send 180."""
        self._tell("ring", handle, body)

    def accept(self, handle: int, body: bytes) -> None:
        """Send 200."""
        self._tell("accept", handle, body)

    def reject(self, handle: int, status: int, headers: HeaderList = ()) -> None:
        """Refuse."""
        self._tell("reject", handle, status, tuple(headers))

    def refresh(self, handle: int) -> None:
        """Ask for a sign of life."""
        self._tell("refresh", handle)

    def hang_up(self, handle: int) -> None:
        """End the dialog."""
        self._tell("hang_up", handle)

    def refer(self, handle: int, target: Uri, *, failed: Failed, done: Done = _nothing) -> None:
        """Send a REFER."""
        self._tell("refer", self._keep(lambda _: done(), failed), handle, target)

    def press(self, handle: int, digits: str, *, failed: Failed, done: Done = _nothing) -> None:
        """Press keys."""
        self._tell("press", self._keep(lambda _: done(), failed), handle, digits)

    def invite(
        self,
        account: str | None,
        target: Uri,
        body: bytes,
        headers: HeaderList,
        *,
        call_id: str,
        dialled: Callable[[int], None],
        failed: Failed,
    ) -> None:
        """Send an INVITE."""
        number = self._keep(dialled, failed)
        self._tell("invite", number, account, target, body, tuple(headers), call_id)

    def accept_refer(self, handle: int) -> None:
        """Agree to call whom the peer refers us to."""
        self._tell("accept_refer", handle)

    def refuse_refer(self, handle: int) -> None:
        """Refuse to."""
        self._tell("refuse_refer", handle)

    def report_refer(self, handle: int, status: int) -> None:
        """Tell the peer what became of it."""
        self._tell("report_refer", handle, status)

    # What the front says of a command

    def done(self, number: int, handle: int) -> None:
        """It was carried out; the handle is that of a new dialog, 0 where there is none."""
        if number in self._waiting:
            self._waiting.pop(number)[0](handle)

    def failed(self, number: int, reason: str) -> None:
        """It could not be."""
        if number in self._waiting:
            self._waiting.pop(number)[1](reason)

    def _keep(self, done: Callable[[int], None], failed: Failed) -> int:
        number = next(self._numbers)
        self._waiting[number] = done, failed
        return number
