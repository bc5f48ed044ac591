"""The SIP that calls need, by the handles of their dialogs, wherever the user agent is: here, or in another process.

A command is carried out now or a little later, and says nothing; what comes of it are events. The few of which a call
must know more are given what to call. One that the dialog's end made moot is nobody's loss.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

from sipagent.aio.ua import SipEndpoint
from sipagent.errors import LocalProtocolError
from sipagent.sip.core import HeaderList
from sipagent.sip.events import Address, Flow
from sipagent.sip.uri import Uri

Failed: TypeAlias = Callable[[str], None]
Done: TypeAlias = Callable[[], None]


def _nothing() -> None:
    """Nobody waits for it."""


class Signalling(Protocol):
    """What a call, and whoever makes calls, may command."""

    is_draining: bool
    """Whether new calls are refused."""

    def address_toward(self, remote: Address) -> str:
        """Our address as ``remote`` sees it; of whom the call is that is being made.

        :raises OSError: when there is no route.
        """

    async def find_way(self, account: str, target: Uri) -> Flow:
        """The way that a call of an account's would go.

        :raises SipagentError: when there is none.
        """

    def ring(self, handle: int, body: bytes) -> None:
        """Send 180."""

    def accept(self, handle: int, body: bytes) -> None:
        """Send 200 to an INVITE, a re-INVITE or an UPDATE."""

    def reject(self, handle: int, status: int, headers: HeaderList = ()) -> None:
        """Refuse it."""

    def refresh(self, handle: int) -> None:
        """Ask the peer whether the call still is."""

    def hang_up(self, handle: int) -> None:
        """End the dialog by whatever fits."""

    def refer(self, handle: int, target: Uri, *, failed: Failed, done: Done = _nothing) -> None:
        """Send a REFER; ``failed`` is told why it can't be, else ``done`` is called."""

    def press(self, handle: int, digits: str, *, failed: Failed, done: Done = _nothing) -> None:
        """Press keys by INFO, likewise."""

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
        """Send an INVITE of a call of ours, by our id of it.

        :param dialled: is told the handle, before any event of it.
        :param failed: is told why it can't be sent.
        """

    def accept_refer(self, handle: int) -> None:
        """Agree to call whom the peer refers us to."""

    def refuse_refer(self, handle: int) -> None:
        """Refuse to."""

    def report_refer(self, handle: int, status: int) -> None:
        """Tell the peer what became of it."""


class SipSignalling:
    """That of the user agent of this process."""

    def __init__(self, endpoint: SipEndpoint) -> None:
        self._endpoint = endpoint
        self._agent = endpoint.agent
        self._command = endpoint.command

    @property
    def is_draining(self) -> bool:
        """Whether new calls are refused."""
        return self._agent.draining

    @is_draining.setter
    def is_draining(self, is_draining: bool) -> None:
        self._agent.draining = is_draining

    def address_toward(self, remote: Address) -> str:
        """Our address as ``remote`` sees it.

        :raises OSError: when there is no route.
        """
        return self._endpoint.address_toward(remote)

    async def find_way(self, account: str, target: Uri) -> Flow:
        """The way that a call of an account's would go.

        :raises SipagentError: when there is none.
        """
        return await self._endpoint.find_flow(self._agent.first_hop(account, target))

    def ring(self, handle: int, body: bytes) -> None:
        """Send 180."""
        self._command(self._agent.ring, handle, body=body)

    def accept(self, handle: int, body: bytes) -> None:
        """Send 200."""
        self._command(self._agent.accept, handle, body)

    def reject(self, handle: int, status: int, headers: HeaderList = ()) -> None:
        """Refuse."""
        self._command(self._agent.reject, handle, status, headers=headers)

    def refresh(self, handle: int) -> None:
        """Ask for a sign of life."""
        self._command(self._agent.refresh, handle)

    def hang_up(self, handle: int) -> None:
        """End the dialog."""
        self._command(self._agent.hang_up, handle)

    def refer(self, handle: int, target: Uri, *, failed: Failed, done: Done = _nothing) -> None:
        """Send a REFER, unless an earlier one is still in progress, or the dialog has just ended."""

        def refer(*, now: float) -> None:
            self._agent.refer(handle, target, now=now)
            done()

        self._command(partial(_try, refer, failed))

    def press(self, handle: int, digits: str, *, failed: Failed, done: Done = _nothing) -> None:
        """Press keys, unless they are more at once than anybody presses, or the dialog has just ended."""

        def press(*, now: float) -> None:
            self._agent.midcall(handle).press(digits, now=now)
            done()

        self._command(partial(_try, press, failed))

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

        def invite(*, now: float) -> None:
            dialled(self._agent.invite(target, account=account, body=body, headers=headers, now=now))

        self._command(partial(_try, invite, failed))

    def accept_refer(self, handle: int) -> None:
        """Agree to call whom the peer refers us to."""
        self._command(lambda *, now: self._agent.midcall(handle).accept_refer(now=now))

    def refuse_refer(self, handle: int) -> None:
        """Refuse to."""
        self._command(lambda *, now: self._agent.midcall(handle).refuse_refer(now=now))

    def report_refer(self, handle: int, status: int) -> None:
        """Tell the peer what became of it."""
        self._command(lambda *, now: self._agent.midcall(handle).report_refer(status, now=now))


def _try(command: Callable[..., None], failed: Failed, *, now: float) -> None:
    try:
        command(now=now)
    except LocalProtocolError as error:
        failed(str(error))
