"""One call, from its INVITE to its last word: the hub where the caller's leg meets the conversation with the model.

It knows in which phase the call is and who has to be told. What is heard and said is the conversation's business,
packets and descriptions are the leg's.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from sipagent.call import events
from sipagent.call.conversation import Conversation, ConversationSettings
from sipagent.call.events import Address, Output
from sipagent.call.frames import FRAME_SAMPLES, silence
from sipagent.call.record import Record
from sipagent.call.sip_leg import SipLeg
from sipagent.errors import RemoteProtocolError
from sipagent.rtp.session import Frame
from sipagent.timers import Timers

ENDING_S = 20.0
"""A goodbye that has not come to its end by then is cut."""

TAIL_TICKS = 10
"""Silence between the last word and the BYE, so that the caller's jitter buffer has played what it holds."""

RETRY_AFTER_S = 30
"""When a caller who was refused for want of a model may try again."""


class Phase(Enum):
    """Where a call stands."""

    NEW = "new"
    RINGING = "ringing"
    UP = "up"
    ENDING = "ending"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What this call is to be like."""

    conversation: ConversationSettings
    max_call_s: float = 3600.0
    """After that long the agent says goodbye."""
    records: bool = False


class Call:
    """A :class:`~sipagent.machine.Machine` with a leg to the caller and a session with the model."""

    def __init__(self, call_id: str, *, leg: SipLeg, settings: CallSettings, random: Random) -> None:
        self.id = call_id
        self.phase = Phase.NEW
        self._leg = leg
        self._settings = settings
        self._random = random
        self._outputs: deque[Output] = deque()
        self._timers: Timers[str] = Timers()
        self._conversation: Conversation | None = None
        self._record: Record | None = None
        self._silence = b""
        self._answer = b""
        self._invited_at = 0.0
        self._answered_at: float | None = None
        self._tail_ticks = 0
        self._reason = ""
        self._was_held = False

    # Driving

    def poll(self) -> Output | None:
        """Take the next output."""
        return self._outputs.popleft() if self._outputs else None

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is due."""
        if self.phase is Phase.ENDED:
            return None
        talk_at = self._conversation.get_timer() if self._conversation else None
        due = (self._timers.next_at(), self._leg.get_timer(), talk_at)
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        if self.phase is Phase.ENDED:
            return
        self._leg.handle_timer(now=now)
        self._hear(self._leg.take_released(), now)
        if self._conversation:
            self._conversation.handle_timer(now=now)
        while (key := self._timers.pop_due(now)) is not None:
            if key == "max_call":
                self._begin_ending("max_duration", now, says_goodbye=True)
            else:
                self._hang_up("goodbye_timeout", now)
        self._follow(now)

    # The caller's dialog

    def receive_invite(self, offer: bytes, *, now: float) -> None:
        """Take the INVITE, whose offer is empty when the caller wants ours; ring, and see if the model is there."""
        self._invited_at = now
        try:
            self._answer = self._leg.receive_offer(offer, now=now) if offer else self._leg.offer(settles_codec=True)
        except RemoteProtocolError as error:
            self._reject(error.status, str(error), now)
            return
        codec = self._leg.codec
        self._silence = silence(codec, FRAME_SAMPLES)
        self._conversation = Conversation(
            self._settings.conversation, codec=codec, emit=self._outputs.append, random=self._random
        )
        self.phase = Phase.RINGING
        self._outputs += (events.Ring(), events.ConnectModel())

    def receive_reinvite(self, offer: bytes, *, now: float) -> None:
        """Take a re-INVITE; a bad one is refused and the call goes on as it was."""
        if self.phase is Phase.ENDED:
            return
        try:
            answer = self._leg.receive_offer(offer, now=now) if offer else self._leg.offer()
        except RemoteProtocolError as error:
            self._outputs.append(events.Reject(error.status, str(error)))
            return
        self._outputs.append(events.Accept(answer))
        self._note_hold(now)

    def receive_ack(self, answer: bytes, *, now: float) -> None:
        """Take the ACK; it carries the answer when the offer was ours, and without one the media stay as they are."""
        if self.phase is Phase.ENDED or not self._leg.awaits_answer or (self._leg.is_agreed and not answer):
            return
        try:
            self._leg.receive_answer(answer, now=now)
        except RemoteProtocolError as error:
            self._hang_up(f"bad_answer: {error}", now)
            return
        self._note_hold(now)

    def leg_ended(self, reason: str, *, now: float) -> None:
        """Take note that the dialog is over."""
        self._end(reason, now)

    def hang_up(self, reason: str = "hung_up", *, now: float) -> None:
        """End the call now."""
        self._hang_up(reason, now)

    def drain(self, *, now: float) -> None:
        """Let the sentence that is being said finish, say goodbye and end; who still hears it ring is refused."""
        if self.phase is Phase.RINGING:
            self._reject(503, "we are about to stop", now, retry_after_s=RETRY_AFTER_S)
        else:
            self._begin_ending("drained", now, says_goodbye=True)

    # Media

    @property
    def remote(self) -> Address | None:
        """Where this call's packets go."""
        return self._leg.remote

    def receive_rtp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take a packet of the caller's."""
        self._hear(self._leg.receive_packet(data, source, now=now), now)

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take an RTCP packet of the caller's."""
        self._leg.receive_rtcp(data, source, now=now)

    def next_packet(self, *, now: float) -> bytes | None:
        """Make the packet of this tick: 20 ms of the agent, or of silence; ``None`` on hold and before the answer.

        What the agent has to say while nobody listens waits.
        """
        conversation = self._conversation
        if conversation is None or not self._is_up:
            return None
        if self._leg.is_held or not self._leg.is_agreed:
            return self._leg.send_frame(self._silence, marker=False, now=now)
        frame, begins = conversation.next_frame()
        heard = frame or self._silence
        if self._record:
            self._record_agent(heard, now)
        packet = self._leg.send_frame(heard, marker=begins, now=now)
        if conversation.is_finished:
            self._count_tail(now)
        return packet

    # The model and its tools

    def model_connected(self, *, now: float) -> None:
        """Take note that the WebSocket is open."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.model_connected(now=now)

    def receive_model(self, data: bytes | str, *, now: float) -> None:
        """Take a message of the model's."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.receive_model(data, now=now)
            self._follow(now)

    def model_lost(self, code: int, reason: str, *, now: float) -> None:
        """Take note that the WebSocket closed or could not be opened; the code is 0 when it never was open."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.model_lost(code, reason, now=now)
            self._follow(now)

    def tool_finished(self, function_call_id: str, output: str, *, now: float) -> None:
        """Take the output of a tool."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.tool_finished(function_call_id, output, now=now)

    # Within

    @property
    def _is_up(self) -> bool:
        return self.phase is Phase.UP or self.phase is Phase.ENDING

    def _hear(self, frames: Sequence[Frame], now: float) -> None:
        if not self._is_up or self._leg.is_held or not self._conversation:
            return
        for frame in frames:
            if self._record:
                self._record.receive_caller(frame.payload, now=now)
            self._conversation.receive_frame(frame, now=now)
        self._take_digits(now)

    def _take_digits(self, now: float) -> None:
        while (output := self._leg.poll()) is not None:
            if isinstance(output, str):
                if self._conversation:
                    self._conversation.receive_digit(output, now=now)
            else:
                self._outputs.append(output)

    def _follow(self, now: float) -> None:
        """Act on what the conversation has come to."""
        self._take_digits(now)
        conversation = self._conversation
        if conversation is None or self.phase is Phase.ENDED:
            return
        if conversation.failure is not None:
            self._on_model_failed(conversation.failure.message, now)
        elif self.phase is Phase.RINGING and conversation.is_ready:
            self._accept(conversation, now)
        elif self.phase is Phase.UP and conversation.is_ending:
            self._begin_ending("agent", now)

    def _accept(self, conversation: Conversation, now: float) -> None:
        self.phase = Phase.UP
        self._answered_at = now
        self._timers.set("max_call", now + self._settings.max_call_s)
        if self._settings.records:
            self._record = Record(codec=self._leg.codec, began_at=now)
        self._outputs += (events.Accept(self._answer), events.Answered(self._leg.codec, now - self._invited_at))
        conversation.greet(now=now)

    def _on_model_failed(self, message: str, now: float) -> None:
        if self.phase is Phase.RINGING:
            self._reject(503, message, now, retry_after_s=RETRY_AFTER_S)
        else:
            self._begin_ending("model_failed", now)

    def _begin_ending(self, reason: str, now: float, *, says_goodbye: bool = False) -> None:
        if self.phase is Phase.UP and self._conversation:
            self.phase = Phase.ENDING
            self._reason = reason
            self._timers.set("ending", now + ENDING_S)
            self._conversation.end(now=now, says_goodbye=says_goodbye)

    def _count_tail(self, now: float) -> None:
        self._tail_ticks += 1
        if self._tail_ticks > TAIL_TICKS:
            self._hang_up(self._reason, now)

    def _note_hold(self, now: float) -> None:
        if self._leg.is_held != self._was_held:
            self._was_held = self._leg.is_held
            self._outputs.append(events.HeldByPeer(self._leg.is_held))
            if self._leg.is_held and self._conversation:
                self._conversation.hold(now=now)

    def _record_agent(self, frame: bytes, now: float) -> None:
        if self._record is not None:
            self._record.receive_agent(frame, now=now)
            piece = self._record.take_piece(now=now)
            if piece is not None:
                self._outputs.append(piece)

    def _reject(self, status: int, reason: str, now: float, *, retry_after_s: int | None = None) -> None:
        self._outputs.append(events.Reject(status, reason, retry_after_s))
        self._end(f"rejected_{status}", now)

    def _hang_up(self, reason: str, now: float) -> None:
        if self.phase is not Phase.ENDED:
            self._outputs.append(events.HangUp())
            self._end(reason, now)

    def _end(self, reason: str, now: float) -> None:
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.ENDED
        self._leg.close(now=now)
        self._take_digits(now)
        rest = self._record.take_rest(now=now) if self._record else None
        if rest is not None:
            self._outputs.append(rest)
        duration_s = now - self._answered_at if self._answered_at is not None else 0.0
        self._outputs += (events.CancelTools(), events.CloseModel(), events.Ended(reason, duration_s, self._leg.stats))
        self._timers.clear()
