"""Whether a call is recorded, from its answer or at a program's word."""

from collections.abc import Callable
from typing import Final

from sipagent.call import events, steering
from sipagent.call.record import Record
from sipagent.call.sip_leg import SipLeg
from sipagent.errors import LocalProtocolError

SECRET: Final = "secret"
"""Who has it pause: what the caller enters."""


class Recording:
    """One call's: any number of records, one after another.

    :param emit: takes pieces, commands and facts.
    :param has_tone: whether the caller is reminded of it by a beep.
    """

    def __init__(self, leg: SipLeg, *, emit: Callable[[events.Output], None], has_tone: bool) -> None:
        self._leg = leg
        self._emit = emit
        self._has_tone = has_tone
        self.record: Record | None = None
        """What keeps both sides now."""
        self._is_withheld = False

    def start(self, *, now: float) -> None:
        """Record from now on.

        :raises LocalProtocolError: when it does already.
        """
        if self.record is not None:
            raise LocalProtocolError("the call is being recorded already")
        self._emit(steering.RecordingStarted())
        self.record = Record(self._leg.audio_format, began_at=now, emit=self._emit, has_tone=self._has_tone)
        if self._is_withheld:
            self.record.pause(by=SECRET, now=now)

    def withhold(self, is_withheld: bool, *, now: float) -> None:
        """Let whatever is recorded pause as long as it is nobody's business, whoever else has it go on."""
        if is_withheld is self._is_withheld:
            return
        self._is_withheld = is_withheld
        if self.record is None:
            return
        if is_withheld:
            self.record.pause(by=SECRET, now=now)
        else:
            self.record.resume(by=SECRET, now=now)

    def stop(self) -> None:
        """Record no more, and complete what was.

        :raises LocalProtocolError: when nothing is.
        """
        if self.record is None:
            raise LocalProtocolError("the call is not being recorded")
        self.close()
        self._emit(events.CloseRecording())
        self._emit(steering.RecordingStopped())

    def close(self) -> None:
        """The call is over: hand on what is left."""
        if self.record is not None:
            self.record.close()
            self.record = None
