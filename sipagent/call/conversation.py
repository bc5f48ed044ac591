"""The conversation between the caller and the model: listening, speaking, tools, keys, and who has the floor.

Everything happens in the stack of the input that caused it, so after the frame that interrupts the agent the next one
that goes out is silent.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from random import Random
from typing import Any, Final

from sipagent.call import events
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.floor import Floor
from sipagent.call.frames import FRAME_MS
from sipagent.call.greeting import Greeting
from sipagent.call.keypad import Keypad
from sipagent.call.listener import Listener
from sipagent.call.model_link import ModelLink
from sipagent.call.outlet import Outlet
from sipagent.call.remarks import Remark, Remarks
from sipagent.call.retries import Retries
from sipagent.call.seat import Seat
from sipagent.call.speaker import Speaker
from sipagent.call.stopgap import Stopgap
from sipagent.call.tool_calls import ToolCalls
from sipagent.errors import LocalProtocolError
from sipagent.formats import AudioFormat
from sipagent.realtime import events as model
from sipagent.rtp.session import Frame
from sipagent.timers import earliest

GOODBYE: Final = "The call ends now. Say one short, friendly goodbye and nothing else."


class Conversation:
    """Wires listener, speaker and the model's session; tells the call by ``emit``."""

    def __init__(
        self,
        settings: ConversationSettings,
        *,
        audio_format: AudioFormat,
        emit: Callable[[events.Output], None],
        send: Callable[[events.SendModel], None],
        random: Random,
        press: Callable[[str], bool],
        account: Callable[[Mapping[str, Any] | None], None],
        wall_offset: float | None = None,
    ) -> None:
        """
        :param send: takes messages for the model, of which nobody else is told.
        :param wall_offset: what to add to ``now`` for Unix time, where that is known.
        :param press: presses keys in RTP; says whether the peer takes them there.
        :param account: is told the tokens of each response that is over.
        """
        self._settings = settings
        self._session = ModelLink(
            settings.session, settings.continuity, audio_format=audio_format, emit=emit,
            random=random, wall_offset=wall_offset,
        )  # fmt: skip
        self._send, self._command, self._emit = send, emit, self._session.tell
        self._speaker = Speaker(session=self._session, audio_format=audio_format)
        self.listener = Listener(settings.listener, session=self._session, audio_format=audio_format, emit=emit)
        self._floor = Floor(
            settings.barge_in, listener=self.listener, speaker=self._speaker, session=self._session, emit=self._emit,
            hears_words=settings.session.transcription_model is not None,
            interrupted=self._on_interrupted,
            dismissed=self._speak_of_tools,
        )  # fmt: skip
        self._keypad, self._retries = Keypad(), Retries()
        self.outlet = Outlet(settings, audio_format=audio_format)
        """What is heard beside the agent, and whether anything is."""
        self.tools = self._make_tools(press)
        self.seat = Seat(self._session, self._floor, self.tools, drain=self._drain_session)
        self._account, self._remarks = account, Remarks()
        self._response_id, self._response_spoke, self._is_response_live = "", False, False
        self._owed_words: str | None = None
        self._stopgap = Stopgap(settings.stopgap, session=self._session, speaker=self._speaker, emit=self._emit)
        self._greeting = Greeting(settings, speaker=self._speaker, audio_format=audio_format)
        self.is_ready = False
        """Whether the model's session stands as we asked for it."""
        self.is_ending = False
        """Whether the goodbye is on its way; nothing interrupts it."""
        self.is_paused = False
        """Whether the agent finishes its sentence and neither listens nor goes on."""
        self.heard_at = 0.0
        """When the caller last said something or pressed a key."""

    @property
    def failure(self) -> model.SessionFailed | None:
        """Why there is no model (any more)."""
        return self._session.failure

    @property
    def is_finished(self) -> bool:
        """Whether the goodbye has been played to its end."""
        return self.is_ending and self.is_silent

    @property
    def is_silent(self) -> bool:
        """Whether nothing is being said, and nothing is about to be."""
        if self._speaker.is_speaking:
            return False
        return self.failure is not None or not self._session.has_live_response

    @property
    def is_idle(self) -> bool:
        """Whether nobody speaks and nothing is awaited: no answer, no tool, no key."""
        if self.outlet.is_announcing or self.is_paused or self._floor.is_caller_speaking:
            return False
        return self.is_silent and self._retries.due_at == inf and not self.tools.is_pending

    @property
    def queued_ms(self) -> int:
        """How much of what the agent says is still to be played."""
        return self._speaker.queued_ms

    # The caller

    def hear(self, audio: bytes, *, now: float) -> None:
        """Take a frame of the caller's sound, 20 ms as a rule. Hot path."""
        if self.is_ending or self.is_paused:
            return
        if self._floor.hear(audio, is_announcing=self.outlet.is_heard, now=now):
            self._retries.cancel()  # the answer to this turn will take its place
            self.heard_at = now
            self.tools.end_hold("speech", now=now)
        if self._session.outputs:
            self._drain_session(now)

    def receive_gap(self, frame: Frame, *, now: float) -> None:
        """Take a frame of silence, or of what was lost."""
        if not (self.is_ending or self.is_paused):
            self._floor.receive_gap(frame, is_announcing=self.outlet.is_heard, now=now)
            self._drain_session(now)

    def speech_judged(self, chance: float, burst: int, *, now: float) -> None:
        """Take how likely it is that a window of the caller's sound held speech."""
        self._floor.receive_answer(chance, burst, now=now)
        self._drain_session(now)

    def receive_digit(self, digit: str, *, now: float) -> None:
        """Take a key; it silences the agent, whatever the barge-in settings: nobody presses one by accident."""
        self._emit(events.DigitPressed(digit))
        self.heard_at = now
        if self.is_ending or self.is_paused:
            return
        if not self._speaker.is_protected:
            self._floor.interrupt(onset_at=now, now=now)
        self.tools.end_hold("key", now=now)
        if not self.tools.take_digit(digit, now=now):
            self._keypad.press(digit, now=now)
        self._drain_session(now)

    def hold(self, *, now: float) -> None:
        """Take note that the caller does not listen: a turn begun is dropped."""
        self._floor.forget()
        self._drain_session(now)

    # The model

    def connect(self) -> None:
        """Have the model's connection opened."""
        self._session.connect()

    def receive_model(self, data: bytes | str, number: int = 1, *, now: float) -> bool:
        """Take a message from the model, on the connection of this number; say whether it was more than speech.

        Audio and its words are nearly all that comes, and nothing follows from them but that they are heard.
        """
        self._session.receive(data, number, now=now)
        outputs = self._session.outputs
        is_speech = len(outputs) == 1 and isinstance(outputs[0], model.AudioReceived | model.AgentTranscript)
        self._drain_session(now)
        if not is_speech:
            self._make_remark(now)
        return not is_speech

    def model_connected(self, number: int = 1, *, now: float) -> None:
        """Take note that a WebSocket is open."""
        self._session.connected(number, now=now)
        self._drain_session(now)

    def model_lost(self, code: int, reason: str, number: int = 1, *, now: float) -> None:
        """Take note that a WebSocket closed, or could not be opened."""
        self._session.lost(code, reason, number, now=now)
        self._drain_session(now)

    def greet(self, *, now: float) -> None:
        """Let the agent speak first, if it is to."""
        self._floor.begin(now=now)
        self._greeting.begin()
        if self._greeting.is_awaited and self._settings.greeting_after == "answer":
            self._ask(now)
            self._drain_session(now)

    def close(self) -> None:
        """Say what was heard of the sentence in which the call ended."""
        self._floor.close()
        self.seat.close()
        for fact in self._speaker.close():
            self._emit(fact)

    # The clock

    def next_frame(self, ms: int = FRAME_MS, *, now: float) -> tuple[bytes | None, bool]:
        """Take what the caller hears in this tick, ``None`` for silence, and whether it begins a talkspurt."""
        outlet = self.outlet
        if outlet.is_announcing:
            return outlet.announce(ms), False
        speaker = self._speaker
        frame, begins = speaker.next_frame(ms)
        while (fact := speaker.pop_fact()) is not None:
            self._floor.greets = False
            self._emit(self._greeting.note(fact, is_behind=outlet.has_ambience))
            self._drain_session(now)  # a session that does not know of it is told
        is_thinking = outlet.has_ambience and self._is_thinking
        is_absent = self._session.is_absent or (frame is None and speaker.has_begun and not speaker.is_paused)
        return outlet.add(frame, ms, is_thinking=is_thinking, is_absent=is_absent), begins

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        tools_due_at = earliest(self._keypad.due_at, self.tools.due_at, self._stopgap.due_at, self._retries.due_at)
        return earliest(self._session.due_at, self._floor.due_at, tools_due_at)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        self._session.handle_timer(
            agent_speaks=self._speaker.is_speaking, caller_speaks=self._floor.is_caller_speaking, now=now
        )
        if now >= self._floor.due_at:
            self._end_turn(now)
        if now >= self._retries.due_at:
            self._ask(now)
        self.tools.handle_timer(queued_ms=self.queued_ms, now=now)
        self._speak_of_tools(now)
        may_speak = self.is_silent and not (self.is_paused or self.is_ending or self._floor.is_caller_speaking)
        self._stopgap.handle_timer(may_speak=may_speak, now=now)
        number = self._keypad.handle_timer(now=now)
        if number is not None and not self.is_ending:
            self._session.create_message("user", f"The caller pressed {' '.join(number)} on the keypad.")
            self._ask(now)
        self._drain_session(now)
        self._make_remark(now)

    # Tools and the end

    def tool_finished(self, function_call_id: str, output: events.ToolOutput, *, now: float) -> None:
        """Take a tool's output; once the last one is in, the model goes on, after the caller if he is speaking."""
        self.tools.finish(function_call_id, output, now=now)
        self._speak_of_tools(now)
        self._drain_session(now)

    def end(self, *, now: float, says_goodbye: bool = False) -> None:
        """Let what is being said come to its end and say no more."""
        if not self.is_ending:
            self.is_ending = True
            self.tools.end_hold("call", now=now)
            self._go_on()
            self._floor.forget()
            if says_goodbye:
                self._session.create_response(instructions=GOODBYE, tools_allowed=False, now=now)
            self._session.wind_down()
            self._drain_session(now)

    def remark(self, remark: Remark, *, greets_first: bool = False, now: float) -> None:
        """Have the agent say something in the next pause.

        :param greets_first: whether the greeting takes its place, where the caller was to speak before it.
        :raises LocalProtocolError: when too much waits to be said already.
        """
        if greets_first and self._greeting.is_awaited:
            self._ask(now)
        else:
            self._remarks.add(remark)
        self._make_remark(now)
        self._drain_session(now)

    def stop(self, *, now: float) -> None:
        """Have the agent fall silent now, at nobody's word; what waits to be said is forgotten."""
        self._remarks.clear()
        self._floor.stop(now=now)
        self._drain_session(now)

    def halt(self, *, plays_music: bool = False, now: float) -> None:
        """Have the agent wait in mid-word, and neither listen nor answer; with music the caller hears it."""
        if self.is_paused:
            raise LocalProtocolError("the agent waits already")
        self.is_paused, self.outlet.plays_music = True, plays_music
        self._floor.halt()
        self._drain_session(now)

    def proceed(self, *, now: float) -> None:
        """Have it go on with the word that was due."""
        if not self._floor.is_halted:
            raise LocalProtocolError("the agent does not wait")
        self._go_on()
        self._speak_of_tools(now)
        self._make_remark(now)
        self._drain_session(now)

    def _go_on(self) -> None:
        if self._floor.is_halted:
            self.is_paused = self.outlet.plays_music = False
            self._floor.proceed()

    def send_event(self, event: dict[str, Any], *, now: float) -> None:
        """Send the model an event as it is; it is none while the model is away."""
        if self._session.is_absent:
            raise LocalProtocolError("the model is away")
        self._session.send_event(event)
        self._drain_session(now)

    def notify(self, notice: str, *, now: float) -> None:
        """Tell the model something that happened; it need not answer."""
        self._session.create_message("user", notice)
        self._drain_session(now)

    def pause(self, words: str, *, is_owed: bool = True, now: float) -> None:
        """Let what is being said come to its end; then neither listen nor say anything more.

        :param words: instructions for what is to be said.
        :param is_owed: whether by this very response, and only where it says nothing.
        """
        self.is_paused = True
        self.tools.end_hold("call", now=now)
        if is_owed:
            self._owed_words = words
        else:
            self._session.create_response(instructions=words, tools_allowed=False, now=now)
        self._floor.forget()
        self._drain_session(now)

    def resume(self) -> None:
        """Listen again; what was asked for in between is asked for by the next output of a tool."""
        self.is_paused = False

    # Within

    def _make_tools(self, press: Callable[[str], bool]) -> ToolCalls:
        send, settings = self._command, self._settings
        return ToolCalls(
            session=self._session,
            emit=send,
            keypad=self._keypad,
            press=lambda digits: None if press(digits) else send(events.PressKeys(digits)),
            waiting=self.outlet.waiting,
            key_tools=settings.key_tools,
            call_tools=settings.call_tools,
            may_transfer=settings.may_transfer,
        )

    @property
    def _is_thinking(self) -> bool:
        """Whether the caller waits for what the model, or a tool, has not come up with yet."""
        if self.is_paused or self._floor.is_caller_speaking or self._greeting.instructions is not None:
            return False
        return self.tools.is_running or self._session.has_live_response

    def _make_remark(self, now: float) -> None:
        """Have the next thing said, if nobody speaks and no answer is on its way."""
        if not self._remarks or self.is_ending or self.is_paused or not self.is_ready:
            return
        if not (self._floor.is_caller_speaking or self._session.has_live_response or self.tools.owes_response):
            remark = self._remarks.take()
            self._speaker.protects = not remark.is_interruptible
            self._session.create_response(instructions=remark.instructions, tools_allowed=False, now=now)
            self._drain_session(now)

    def _end_turn(self, now: float) -> None:
        asks = self._floor.handle_timer(now=now)
        self.heard_at = now
        is_over = not self._floor.is_caller_speaking
        if not asks and is_over and self._floor.is_local:
            self.tools.forgive()
        if (asks or (self.tools.owes_response and is_over)) and not self.is_ending:
            self._ask(now)

    def _ask(self, now: float) -> None:
        """Ask for a response: the greeting while none of it was heard, for a caller's hello does not replace it."""
        self._retries.cancel()
        if self.is_paused:
            return
        self.tools.asked()
        if not self._greeting.take_turn(now=now):
            self._greeting.instructions = self.seat.take_opening(self._greeting.instructions)
            self._floor.greets = self._greeting.instructions is not None
            self._stopgap.make_way(now=now)
            self._session.create_response(instructions=self._greeting.instructions, now=now)

    def _on_interrupted(self, was_speaking: bool) -> None:
        if was_speaking or self._is_response_live:
            self.tools.interrupt(self._response_id)

    def _drain_session(self, now: float) -> None:
        while outputs := self._session.outputs:  # another session's, once this one has failed
            output = outputs.pop(0)
            if isinstance(output, model.Send):
                self._send(output)
            elif self._session.note(output, now=now):
                self._on_session(output, now)

    def _on_session(self, output: model.Output, now: float) -> None:
        match output:
            case model.AudioReceived() | model.AudioUnheard() | model.AudioDone() | model.AgentTranscript():
                self._on_agent(output, now)
            case model.CallerTranscript() | model.InputCommitted():
                if self._floor.take_item(output, now=now) and not self.is_ending:
                    self._ask(now)
            case model.ResponseCreated() | model.ResponseDone():
                self._on_response(output, now)
            case (
                model.FunctionCallRequested()
                | model.HostedCallDone()
                | model.HostedCallAnswered()
                | model.ApprovalRequested()
            ):
                self.tools.receive(replace(output, response_id=output.response_id or self._response_id))
                self._speak_of_tools(now)
            case model.SessionUpdated() | model.UpdateRefused():
                self.seat.settle(output)
            case model.SessionReady(session_id):
                self.is_ready = True
                self._emit(events.ModelReady(session_id))
            case model.SessionFailed():
                self._on_session_failed(now)
            case model.BenignError() | model.ErrorReported():
                self._emit(events.ModelComplained(output.code, output.message))
            case model.ResponseRefused(kind, code, message):
                self._speaker.protects = False
                self._emit(events.ModelComplained(code, message))
                self._retries.failed(kind, may_retry=not self.is_ending, now=now)

    def _on_agent(self, output: model.AgentOutput, now: float) -> None:
        match output:
            case model.AudioReceived(item_id, content_index, audio):
                self._response_spoke = True
                self._stopgap.receive_audio(item_id)
                self._speaker.receive_audio(item_id, content_index, audio, now=now)
            case model.AudioUnheard(item_id, content_index):
                if self._session.truncate(item_id, content_index, 0):
                    self._emit(events.Truncated(item_id, content_index, audio_end_ms=0, received_ms=0))
            case model.AudioDone(item_id, content_index):
                self._speaker.finish_audio(item_id, content_index)
            case model.AgentTranscript(item_id, content_index, text, final):
                self._floor.agent_said(item_id, content_index, text, is_final=final)
                if self._settings.tells_words and not final:
                    self._emit(events.AgentWrote(item_id, text))

    def _on_response(self, response: model.ResponseCreated | model.ResponseDone, now: float) -> None:
        if isinstance(response, model.ResponseDone):
            self._on_response_done(response, now)
        else:
            self._response_id, self._response_spoke, self._is_response_live = response.response_id, False, True
            self._stopgap.response_created(response.response_id)

    def _on_response_done(self, done: model.ResponseDone, now: float) -> None:
        self._account(done.usage)
        response_id = done.response_id or self._response_id
        self._stopgap.response_done(response_id)
        if response_id == self._response_id:
            self._is_response_live = False
            self._speaker.finish_all()
            self._speaker.protects = False
            if self._owed_words is not None and not self._response_spoke:
                self._session.create_response(instructions=self._owed_words, tools_allowed=False, now=now)
            self._owed_words = None
        if done.failure is None:
            self._retries.succeeded()
        else:
            self._emit(events.ModelComplained(done.reason, done.message or "the model could not answer"))
            self._retries.failed(done.failure, may_retry=not self.is_ending, now=now)
        if done.reason == "turn_detected":
            self.tools.interrupt(response_id)
        has_spoken = self._response_spoke and response_id == self._response_id
        self.tools.response_over(response_id, has_spoken=has_spoken)
        self._speak_of_tools(now)

    def _on_session_failed(self, now: float) -> None:
        """What was begun is over: no more of it comes, and the next session will answer for it."""
        self._is_response_live = False
        self._speaker.finish_all()
        self.tools.response_over(self._response_id)
        self._speak_of_tools(now)

    def _speak_of_tools(self, now: float) -> None:
        """Run what the model called, and let it speak of what that came to; after itself, the caller, and his keys."""
        if not self._floor.is_weighing and self.tools.run(queued_ms=self.queued_ms, now=now) and not self.is_paused:
            self._owed_words = GOODBYE  # unless this very response says it, before the call of the tool or after
            self.end(now=now)
        self._stopgap.watch(is_running=self.tools.is_running, now=now)
        if not self.tools.owes_response or self.is_ending:
            return
        is_caller_busy = self._floor.is_caller_speaking or self._keypad.due_at < inf
        if not is_caller_busy and (self._stopgap.is_live or not self._session.has_live_response):
            self._ask(now)
