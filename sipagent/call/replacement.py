"""A dialog that takes the place of the caller's (:rfc:`3891`), while the conversation goes on.

It comes from a PBX that puts somebody else through to the agent, or we open it ourselves when a PBX asks us to. Until
it is agreed on, the old one stays as it was, and its media too.
"""

from collections.abc import Callable

from sipagent.call import events
from sipagent.call.sip_leg import SipLeg
from sipagent.errors import RemoteProtocolError

NOT_UP = 481
"""What a dialog gets that is to replace one of a call that is not up."""


class Replacement:
    """The exchange of one leg's dialog for another.

    :param emit: takes commands and facts.
    :param is_up: whether there is a call to go on.
    :param replaced: is told, with a notice for the model, that the leg leads to somebody else.
    """

    def __init__(
        self,
        leg: SipLeg,
        *,
        emit: Callable[[events.Output], None],
        is_up: Callable[[], bool],
        replaced: Callable[[str, float], None],
    ) -> None:
        self._leg = leg
        self._emit = emit
        self._is_up = is_up
        self._replaced = replaced

    def close(self) -> None:
        """The call is over: let go of it."""
        self._is_up = _is_not_up
        self._replaced = _was_replaced

    def receive(self, offer: bytes, *, address: str, signalling_host: str, notice: str, now: float) -> None:
        """Take the INVITE of a new dialog; a bad one is refused and the call goes on as it was.

        :param address: where the new peer is to send its RTP, as it sees us.
        :param signalling_host: where its SIP comes from.
        :param notice: what the model is told.
        """
        if not self._is_up():
            self._emit(events.RejectReplacement(NOT_UP, "the call is not up"))
            return
        try:
            answer = self._leg.receive_replacement(offer, address=address, signalling_host=signalling_host)
        except RemoteProtocolError as error:
            self._emit(events.RejectReplacement(error.status, str(error)))
            return
        self._emit(events.AcceptReplacement(answer))
        self._emit(events.Replaced())
        self._replaced(notice, now)

    def offer(self, *, address: str, now: float) -> None:
        """Have somebody else called, who is to take the caller's place."""
        if self._is_up():
            self._emit(events.DialReplacement(self._leg.offer_replacement(address=address)))
        else:
            self._emit(events.DropReplacement())

    def receive_answer(self, answer: bytes, *, signalling_host: str, notice: str, now: float) -> None:
        """Take the 2xx of whom we called; a bad one ends that call, and ours goes on as it was."""
        if not self._is_up():
            self._emit(events.DropReplacement())
            return
        try:
            self._leg.receive_replacement_answer(answer, signalling_host=signalling_host)
        except RemoteProtocolError as error:
            self._emit(events.LegComplained(str(error)))
            self._emit(events.DropReplacement())
            return
        self._emit(events.KeepReplacement())
        self._emit(events.Replaced())
        self._replaced(notice, now)


def _is_not_up() -> bool:
    """There is no call to go on."""
    return False


def _was_replaced(_notice: str, _now: float) -> None:
    """Nobody is told."""
