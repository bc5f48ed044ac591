"""One call, from its INVITE to its last word: the hub where the caller's leg meets the conversation with the model.

It knows in which phase the call is and who has to be told. What is heard and said is the conversation's business,
packets and descriptions are the leg's.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from random import Random
from typing import Final

from sipagent.call import ending, events, steering, transfer, vigil
from sipagent.call.bounds import Bounds
from sipagent.call.conversation import Conversation
from sipagent.call.credit import Credit
from sipagent.call.ending import Ending
from sipagent.call.events import Address, Output, ToolOutput
from sipagent.call.farewell import Farewell
from sipagent.call.hearing import Hearing
from sipagent.call.phase import Phase
from sipagent.call.privacy import Privacy
from sipagent.call.recording import Recording
from sipagent.call.replacement import Replacement
from sipagent.call.settings import CallSettings
from sipagent.call.sip_leg import SipLeg
from sipagent.call.succession import AgentChange, Succession
from sipagent.call.talker import Talker
from sipagent.call.transfer import Transfer
from sipagent.call.vigil import Vigil
from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.realtime.settings import SessionSettings
from sipagent.rtp.session import Frame
from sipagent.timers import Timers, earliest

RETRY_AFTER_S: Final = 30
"""When a caller who was refused for want of a model may try again."""


class Call(Talker[Output]):
    """A :class:`~sipagent.machine.Machine` with a leg to the caller and a session with the model."""

    def __init__(self, call_id: str, *, leg: SipLeg, settings: CallSettings, random: Random) -> None:
        self.id = call_id
        self.phase = Phase.NEW
        self._leg = leg
        self._settings = settings
        self._random = random
        self._outputs: list[Output] = []
        self._timers: Timers[str] = Timers()
        self._conversation: Conversation | None = None
        self.recording = Recording(leg, emit=self._outputs.append, has_tone=settings.recording_tone)
        """Whether the call is recorded."""
        self._privacy = Privacy(settings.privacy, emit=self._outputs.append)
        self._hearing = Hearing(leg, recording=self.recording, emit=self._outputs.append)
        self.replacement = Replacement(
            leg, emit=self._outputs.append, is_up=lambda: self._is_up, replaced=self._on_replaced
        )
        """The way by which another dialog takes the place of the caller's."""
        self._vigil = Vigil(settings.dead_air, leg=leg, emit=self._outputs.append, timers=self._timers)
        self._credit = Credit()
        self._bounds = Bounds(
            max_call_s=settings.max_call_s, warn_s=settings.warn_s, spending=settings.budget, silence=settings.silence,
            timers=self._timers,
        )  # fmt: skip
        self._ending = Ending(self._timers)
        self._transfer = Transfer(settings.transfer, emit=self._outputs.append, timers=self._timers)
        self._succession = Succession(emit=self._privacy.tell, transfer=self._transfer)
        self._farewell = Farewell(settings.farewell, self._transfer, self._privacy.tell, self._timers)
        self._offer, self._answer, self._invited_at = b"", b"", 0.0
        self._answered_at: float | None = None
        self._was_held = self._is_outgoing = self._is_up = False

    @property
    def session_settings(self) -> tuple[SessionSettings, ...]:
        """What each engine is asked for, by its number."""
        conversation = self._settings.conversation
        return (conversation.session, *conversation.continuity.fallbacks)

    # Driving

    def poll(self) -> Output | None:
        """Take the next output."""
        return self._outputs.pop(0) if self._outputs else None

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is due."""
        talk_due_at = self._conversation.due_at if self._conversation else inf
        due_at = earliest(self._timers.due_at, self._leg.due_at, talk_due_at)
        return None if due_at == inf or self.phase is Phase.ENDED else due_at

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        if self.phase is Phase.ENDED:
            return
        if now >= self._leg.due_at:
            self._leg.handle_timer(now=now)
            self._hear(self._leg.take_released(), now)
            self._hearing.take_keys(now=now)
        if self._conversation and now >= self._conversation.due_at:
            self._conversation.handle_timer(now=now)
        while (key := self._timers.pop_due(now)) is not None:
            self._on_timer(key, now)
        if self._leg.failure:
            self._outputs.append(events.LegComplained(self._leg.failure))
            self._hang_up("webrtc_failed", now)
        self._follow(now)

    # The caller's dialog

    def receive_invite(self, offer: bytes, *, wants_early_offer: bool = False, now: float) -> None:
        """Take the INVITE, whose offer is empty when the caller wants ours; ring, and see if the model is there.

        :param wants_early_offer: our offer is to come with the ringing, and its answer before ours to the call.
        """
        self._invited_at = now
        try:
            self._answer = self._leg.receive_offer(offer, now=now) if offer else self._leg.offer(settles_format=True)
        except RemoteProtocolError as error:
            self._reject(error.status, str(error), now)
            return
        self._outputs.append(events.Ring(self._answer if wants_early_offer else b""))
        self._prepare()

    def receive_early_answer(self, answer: bytes, *, now: float) -> None:
        """Take the answer to the offer that came with our ringing."""
        self._agree(answer, now)

    def dial(self, *, now: float) -> None:
        """Call somebody; the model is to be there first, so that nobody picks up to silence."""
        self._is_outgoing = True
        self._invited_at = now
        self._offer = self._leg.offer(settles_format=True)
        self._prepare()

    def receive_progress(self, status: int, *, now: float) -> None:
        """Take a provisional response to our INVITE; the agent does not listen to what is played before the answer."""
        if self.phase is Phase.DIALLED:
            self._outputs.append(events.Progressed(status))

    def receive_answer(self, answer: bytes, *, now: float) -> None:
        """Take the 2xx to our INVITE or re-INVITE; without an answer, what an UPDATE agreed on holds."""
        if (answer or not self._leg.is_agreed) and not self._agree(answer, now):
            return
        if self.phase is Phase.DIALLED and self._conversation:
            self._start(self._conversation, now)
            self._hearing.receive_early(now=now)

    def receive_refresh(self, answer: bytes, *, now: float) -> None:
        """Take the answer to our last description, which was said again; a bad one changes nothing."""
        if self.phase is Phase.ENDED or not answer:
            return
        try:
            self._leg.receive_refresh(answer, now=now)
        except RemoteProtocolError as error:
            self._outputs.append(events.LegComplained(str(error)))
        else:
            self._note_hold(now)

    def receive_reinvite(self, offer: bytes, *, now: float) -> None:
        """Take a re-INVITE or an UPDATE; a bad one is refused and the call goes on as it was."""
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
        self._credit.is_earned = True
        if not self._leg.awaits_answer or (self._leg.is_agreed and not answer):
            return
        if self._agree(answer, now):
            self._note_hold(now)
            self._hearing.receive_early(now=now)

    def receive_info(self, digit: str, *, now: float) -> None:
        """Take a key that was told in an INFO; in RTP it may be told as well, and counts once."""
        self._hearing.press("info", digit, now=now)

    def refer_progressed(self, status: int, *, now: float) -> None:
        """Take note that the peer agreed to call somebody else, or of what it is told by whom it calls."""
        if self.phase is not Phase.ENDED:
            self._transfer.progressed(status)

    def refer_finished(self, status: int | None, *, now: float) -> None:
        """Take what the peer's attempt came to, ``None`` when it does not tell."""
        if self._conversation is None or self.phase is Phase.ENDED:
            return
        if self._transfer.finished(status, self._conversation, now=now):
            self._hang_up("transferred", now)
        else:
            self._follow(now)

    def leg_ended(self, reason: str, *, now: float) -> None:
        """Take note that the dialog is over."""
        if self.phase is not Phase.ENDED:
            self._transfer.leg_ended()
        self._end(reason, now)

    def hang_up(self, reason: str = "hung_up", *, now: float) -> None:
        """End the call now."""
        self._hang_up(reason, now)

    def drain(self, *, now: float) -> None:
        """Let the sentence that is being said finish, say goodbye and end; who still hears it ring is refused."""
        if self._is_calling:
            self._hang_up("drained", now)
        elif self.phase is Phase.RINGING:
            self._reject(503, "we are about to stop", now, retry_after_s=RETRY_AFTER_S)
        else:
            self._begin_ending("drained", now, says_goodbye=True)

    # Media

    @property
    def remote(self) -> Address | None:
        """Where this call's packets go."""
        return self._leg.remote

    @property
    def frame_ms(self) -> int:
        """How often :meth:`next_packet` is to be called."""
        return self._leg.frame_ms

    def receive_rtp(self, data: bytes, source: Address, *, now: float) -> bool:
        """Take a packet of the caller's; say whether a deadline may be near: none is as long as all is as usual."""
        if self._is_up and (audio := self._leg.receive_usual(data, source, now=now)):
            self._hearing.hear(audio, now=now)
            return len(self._outputs) > 1  # of a frame comes a message for the model; of a turn that starts comes more
        self._hear(self._leg.receive_packet(data, source, now=now), now)
        self._hearing.take_keys(now=now)
        return True

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take an RTCP packet of the caller's."""
        self._leg.receive_rtcp(data, source, now=now)

    def next_packet(self, *, now: float) -> bytes | None:
        """Make the packet of this tick, of the agent or of silence; ``None`` on hold and before the answer.

        What the agent has to say while nobody listens waits.
        """
        conversation, leg, credit = self._conversation, self._leg, self._credit
        if conversation is None or not self._is_up:
            return None
        if leg.is_held or not leg.is_open or not (credit.is_earned or credit.lasts(heard_at=leg.heard_at, now=now)):
            leg.skip_frame()
            return None
        frame, begins = conversation.next_frame(leg.frame_ms, now=now)
        heard = frame or leg.silence
        if (record := self.recording.record) is not None:
            heard = record.receive_agent(heard, now=now)
        conversation.listener.note_sent(heard, is_sound=heard is not leg.silence, now=now)
        packet = leg.send_frame(heard, marker=begins, now=now)
        if conversation.is_finished:
            if self._ending.is_over(leg.frame_ms):
                self._hang_up(self._ending.reason, now)
        elif self._transfer.is_active:
            self._transfer.tick(conversation, ms=leg.frame_ms, now=now)
        return packet

    # The model and its tools

    def model_connected(self, number: int = 1, *, now: float) -> None:
        """Take note that the WebSocket of this number is open."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.model_connected(number, now=now)

    def receive_model(self, data: bytes | str, number: int = 1, *, now: float) -> bool:
        """Take a message of the model's; say whether a deadline may be near: of audio none is, as a rule."""
        if self._conversation and self.phase is not Phase.ENDED:
            if not self._conversation.receive_model(data, number, now=now):
                return bool(self._outputs)
            self._follow(now)
        return True

    def model_lost(self, code: int, reason: str, number: int = 1, *, now: float) -> None:
        """Take note that a WebSocket closed or could not be opened; the code is 0 when it never was open."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.model_lost(code, reason, number, now=now)
            self._follow(now)

    def speech_judged(self, chance: float, burst: int, *, now: float) -> None:
        """Take how likely it is that the window of a ``JudgeSpeech`` held speech; those of a burst in their order."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.speech_judged(chance, burst, now=now)

    def tool_finished(self, function_call_id: str, output: ToolOutput, *, now: float) -> None:
        """Take the output of a tool."""
        if self._conversation and self.phase is not Phase.ENDED:
            self._conversation.tool_finished(function_call_id, output, now=now)

    # What a program may want

    def update_agent(self, change: AgentChange, *, now: float) -> None:
        """Let another agent go on with the call; ``AgentChanged`` or ``AgentKept`` comes of it."""
        if self._conversation is not None and self.phase is Phase.UP:
            self._succession.begin(change, self._conversation, now=now)
            self._follow(now)

    @property
    def conversation(self) -> Conversation:
        """Who talks, while the call is up.

        :raises LocalProtocolError: when it is not.
        """
        if self.phase is not Phase.UP or self._conversation is None:
            raise LocalProtocolError(f"the call is {self.phase.value}, not up")
        return self._conversation

    def finish(self, reason: str, *, says_goodbye: bool, now: float) -> None:
        """End a call that is up once all has been heard."""
        self._begin_ending(reason, now, says_goodbye=says_goodbye)

    def transfer(self, target: str, *, now: float) -> None:
        """Hand the call on; see :meth:`~sipagent.call.transfer.Transfer.command`."""
        self._transfer.command(target, self.conversation, now=now)

    def mute(self, *, caller: bool | None, agent: bool | None) -> None:
        """Say whom the other side does not hear; ``None`` leaves it as it is."""
        outlet, hearing = self.conversation.outlet, self._hearing
        outlet.is_muted = outlet.is_muted if agent is None else agent
        hearing.is_muted = hearing.is_muted if caller is None else caller
        self._outputs.append(steering.Muted(hearing.is_muted, outlet.is_muted))

    # Within

    @property
    def _is_calling(self) -> bool:
        """Whether it is a call of ours that nobody answered yet."""
        return self._is_outgoing and self.phase in (Phase.RINGING, Phase.DIALLED)

    def _agree(self, answer: bytes, now: float) -> bool:
        """Take an answer that the call can't go on without; say whether it does."""
        if self.phase is Phase.ENDED:
            return False
        try:
            self._leg.receive_answer(answer, now=now)
        except RemoteProtocolError as error:
            self._outputs.append(events.LegComplained(str(error)))
            self._hang_up("bad_answer", now)
            return False
        return True

    def _hear(self, frames: Sequence[Frame], now: float) -> None:
        if self._is_up:
            self._hearing.receive(frames, now=now)
        elif frames and self.phase is Phase.DIALLED:
            self._leg.keep_early(frames, now=now)

    def _on_timer(self, key: str, now: float) -> None:
        match key:
            case ending.TIMER:
                self._hang_up("goodbye_timeout", now)
            case vigil.TIMER:
                self._look_for_life(now)
            case transfer.TIMER if self._conversation is not None and self.phase is Phase.UP:
                self._transfer.on_timer(self._conversation, now=now)
            case _ if self._conversation is not None and self.phase is Phase.UP:
                self._end_if(self._bounds.on_timer(key, self._conversation, is_held=self._leg.is_held, now=now), now)

    def _end_if(self, reason: str | None, now: float) -> None:
        if reason is not None:
            self._begin_ending(reason, now, says_goodbye=True)

    def _look_for_life(self, now: float) -> None:
        if self._vigil.look(is_excused=self._transfer.is_active, now=now):
            self._hang_up("no_media", now)

    def _follow(self, now: float) -> None:
        """Act on what the conversation has come to."""
        self._hearing.take_keys(now=now)
        self._privacy.follow(self.recording, now=now)
        if (conversation := self._conversation) is None or self.phase is Phase.ENDED:
            return
        if conversation.seat.outcome is not None:
            self._succession.follow(conversation, now=now)
        if conversation.tools.wish is not None and self.phase is Phase.UP and not conversation.is_ending:
            self._transfer.begin(conversation, now=now)
        if self._transfer.is_active and self.phase is Phase.UP:
            return
        if conversation.failure is not None:
            self._on_model_failed(conversation.failure.message, now)
        elif self.phase is Phase.RINGING and conversation.is_ready:
            self._on_ready(conversation, now)
        elif self.phase is Phase.UP and conversation.is_ending:
            self._begin_ending("agent", now)
        elif self.phase is Phase.UP:
            self._end_if(self._bounds.look(conversation, now=now), now)

    def _on_ready(self, conversation: Conversation, now: float) -> None:
        if self._is_outgoing:
            self.phase = Phase.DIALLED
            self._outputs.append(events.Dial(self._offer))
        else:
            self._outputs.append(events.Accept(self._answer))
            self._start(conversation, now)

    def _prepare(self) -> None:
        """Have the model's connection opened, for a conversation in the leg's format."""
        transfers = self._settings.transfer
        self._conversation = Conversation(
            replace(self._settings.conversation, may_transfer=transfers is not None and transfers.is_tool),
            audio_format=self._leg.audio_format,
            wall_offset=self._leg.wall_offset,
            emit=self._privacy.tell,
            send=self._outputs.append,
            random=self._random,
            press=self._leg.press,
            account=self._bounds.account,
        )
        self.phase = Phase.RINGING
        self._conversation.connect()

    def _start(self, conversation: Conversation, now: float) -> None:
        self.phase = Phase.UP
        self._credit.is_earned |= self._is_outgoing
        self._credit.give(now=now)
        self._is_up = True
        self._answered_at = now
        self._bounds.begin(now=now)
        self._vigil.expect(now=now)
        self._look_for_life(now)
        self._hearing.begin(conversation, hears_keys=self._settings.hears_keys)
        if self._settings.records:
            self.recording.start(now=now)
        self._outputs.append(events.Answered(self._leg.codec, now - self._invited_at))
        conversation.greet(now=now)

    def _on_model_failed(self, message: str, now: float) -> None:
        if self._is_calling:
            self._hang_up("model_failed", now)
        elif self.phase is Phase.RINGING:
            self._turn_away(message, now)
        elif self.phase is Phase.UP and self._conversation and not self._farewell.go_on(self._conversation, now=now):
            self._begin_ending("model_failed", now)
        elif self._farewell.wants_record and self.recording.record is None:
            self.recording.start(now=now)

    def _turn_away(self, message: str, now: float) -> None:
        """There is no model for a caller who was not answered: he may go elsewhere, or try again."""
        elsewhere = self._settings.farewell.refer_to
        if elsewhere is None:
            self._reject(503, message, now, retry_after_s=RETRY_AFTER_S)
        else:
            self._outputs.append(events.Reject(302, message, contact=elsewhere))
            self._end("referred", now)

    def _begin_ending(self, reason: str, now: float, *, says_goodbye: bool = False) -> None:
        if self.phase is Phase.UP and self._conversation:
            self.phase = Phase.ENDING
            self._ending.begin(reason, self._conversation, says_goodbye=says_goodbye, now=now)

    def _note_hold(self, now: float) -> None:
        if self._leg.is_held != self._was_held:
            self._was_held = self._leg.is_held
            self._vigil.expect(now=now)
            self._outputs.append(events.HeldByPeer(self._leg.is_held))
            if self._leg.is_held and self._conversation:
                self._conversation.hold(now=now)

    def _on_replaced(self, notice: str, now: float) -> None:
        self._vigil.expect(now=now)
        self._note_hold(now)
        if self._conversation:
            self._conversation.notify(notice, now=now)

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
        self._is_up = False
        if self._conversation:
            self._conversation.close()
        self._hearing.end()
        self._leg.close(now=now)
        self.replacement.close()
        self._hearing.take_keys(now=now)
        self.recording.close()
        duration_s = 0.0 if self._answered_at is None else now - self._answered_at
        ended = events.Ended(reason, duration_s, self._leg.stats, *self._bounds.spent)
        self._outputs += (events.CancelTools(), events.CloseModel(), ended)
        self._timers.clear()
