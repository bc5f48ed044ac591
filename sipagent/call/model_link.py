"""The call's link to its model: what listener, speaker and conversation talk to, whichever session is behind it.

A session ends sooner than a call: its connection breaks, its server stalls, its hour is over. Then another one is
opened, told what was said so far, and given what the caller said meanwhile. What the agent was saying is heard as far
as it had come; the next session goes on from there. Connections are numbered from 1, so that the shell may hold two at
once, and a late word of one that was given up is known as such.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from random import Random
from typing import Any, Final, Literal

from sipagent.call import events
from sipagent.call.continuity import END_CODE, LOST_CODE, NEVER, ROLL_RETRY_S, ContinuitySettings, changed, plan_roll
from sipagent.call.debt import Debt, Request
from sipagent.call.history import MAX_AUDIO_S, MAX_ITEMS, RECORDED, History
from sipagent.call.kept_turn import KeptTurn
from sipagent.call.session_factory import make_session
from sipagent.call.successor import Successor
from sipagent.formats import AudioFormat
from sipagent.realtime import events as model
from sipagent.realtime.session import MIN_COMMIT_MS
from sipagent.realtime.settings import SessionSettings
from sipagent.recent import remember
from sipagent.timers import earliest

LOOK_S: Final = 0.02
"""How often it is looked whether a session that is ready can be used: a frame."""

SOON_S: Final = 0.001
"""When it is looked next where something has happened: not in the same stack, and not at the same deadline twice."""


class ModelLink:
    """Owns the present session and, for a while, its successor.

    :param emit: takes commands to the shell, and facts.
    :param wall_offset: what to add to ``now`` for Unix time; ``None`` where nobody knows.
    """

    def __init__(
        self,
        settings: SessionSettings,
        continuity: ContinuitySettings | None = None,
        *,
        audio_format: AudioFormat,
        emit: Callable[[events.Output], None],
        random: Random,
        wall_offset: float | None = None,
    ) -> None:
        self._continuity = continuity or ContinuitySettings()
        self._emit, self._wall_offset = emit, wall_offset
        self._settings = [settings, *changed(self._continuity.fallbacks, settings)]
        self._make = partial(make_session, audio_format=audio_format, random=random)
        self._session = self._make(settings)
        self._successor = Successor(self._settings, make=self._make, emit=emit, random=random)
        self._number = self._engine = 0
        self._wanted: SessionSettings | None = None
        self._bytes_per_ms, self._is_local = audio_format.bytes_per_ms, settings.turn_detection == "local"
        self._history = History(MAX_AUDIO_S * 1000 * audio_format.bytes_per_ms)
        self._turn = KeptTurn(audio_format, is_local=self._is_local)
        """What the caller said since the last commit."""
        self._told = 0
        """Up to which entry of the history the present session was told when it began."""
        self._prepared: int | None = None
        """The same of the successor, once it is ready."""
        self._prepared_turns = 0
        """How many turns of the caller's it was given again by then."""
        self._echoes = 0
        """How many of those the present session has yet to confirm."""
        self._items: list[str] = []
        self._debt = Debt()
        self._owed: Request | None = None
        """While there is no session: what is to be asked of the next."""
        self._is_wanted = True
        self._is_up = self._is_away = self._is_stalled = self._is_pressed = False
        self._lost_at = self._ready_at = self._alive_at = 0.0
        self._roll, self._roll_at, self._look_at = NEVER, inf, inf
        self.is_absent = False
        """Whether the model is gone or stalled, and the caller may have to hear something else."""
        self.failure: model.SessionFailed | None = None
        """Why there is no model (any more)."""

    # The connections

    def connect(self) -> None:
        """Have the first connection opened."""
        self._open(0)

    def connected(self, number: int, *, now: float) -> None:
        """Take note that a connection is open."""
        if number == self._number:
            self._session.open(now=now)
        elif number == self._successor.last_number:
            self._successor.connected(now=now)

    def receive(self, data: bytes | str, number: int, *, now: float) -> None:
        """Take a message from the model."""
        if number == self._number:
            self._alive_at = now
            if self._is_stalled:
                self._on_recovered(now)
            self._session.receive_text(data, now=now)
        elif number == self._successor.last_number:
            self._successor.receive(data, now=now)
            self._after_successor(now)

    def lost(self, code: int, reason: str, number: int, *, now: float) -> None:
        """Take note that a connection closed, or could not be opened."""
        if number == self._number:
            self._session.connection_lost(code, reason, now=now)
        elif number == self._successor.last_number:
            self._successor.lost(code, reason, now=now)
            self._after_successor(now)

    def wind_down(self) -> None:
        """From now on a model that is lost is not sought again: the call is about to end."""
        self._is_wanted = False
        self._successor.stop()
        self._roll_at = inf
        if self._is_away and self.failure is None:
            self._give_up(model.SessionFailed("transient", None, "the call ended before there was a model again"))

    # What the conversation reads

    @property
    def outputs(self) -> list[model.Output]:
        """What the present session has to say, and to send; each but a message to be told to :meth:`note`."""
        return self._session.outputs

    @property
    def has_live_response(self) -> bool:
        """Whether a response speaks, or will without further asking."""
        return self._owed is not None if self._is_away else self._session.has_live_response

    @property
    def is_full_duplex(self) -> bool:
        """Whether the model decides by itself when it stops for the caller."""
        return self._session.is_full_duplex

    @property
    def server_silence_ms(self) -> int:
        """How much silence lets the server's own turn detection say that the turn is over."""
        return self._session.server_silence_ms

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        planned_at = min(self._look_at, self._roll_at)
        return earliest(self._session.due_at, self._successor.due_at, planned_at, self._stall_due_at)

    def handle_timer(self, *, agent_speaks: bool, caller_speaks: bool, now: float) -> None:
        """Do what is due.

        :param agent_speaks: whether something of the agent's waits to be heard.
        """
        self._session.handle_timer(now=now)
        self._successor.handle_timer(now=now)
        self._after_successor(now)
        if now >= self._stall_due_at:
            self._on_silence(now)
        if now >= self._roll_at:
            self._on_roll(now)
        if now >= self._look_at:
            self._look(agent_speaks, caller_speaks, now)

    # What listener, speaker and conversation do

    def update(self, settings: SessionSettings, *, now: float) -> None:
        """Change what the model is to be, this session's or the next's; an output says whether it came about."""
        self._wanted = settings
        if not self._is_away:
            self._session.update(settings, now=now)

    def settle(self, *, is_taken: bool) -> None:
        """Take note of what became of it; later sessions begin with what was taken."""
        if self._wanted is not None and is_taken:
            self._settings[:] = changed(self._settings, self._wanted)
            self._is_local = self._wanted.turn_detection == "local"
            self._turn.change(is_local=self._is_local)
        else:
            self._wanted = None

    def note_speech(self) -> None:
        """Take note that our own ear hears the caller begin to speak."""
        self._turn.note_speech()

    def append_audio(self, audio: bytes) -> None:
        """Send the caller's audio."""
        self._turn.append(audio)
        if not self._is_away:
            self._session.append_audio(audio)

    def commit(self) -> bool:
        """Make the audio appended the caller's turn; ``False`` when it is too short for one."""
        if self._is_away and len(self._turn) < MIN_COMMIT_MS * self._bytes_per_ms:
            return False
        if not self._is_away and not self._session.commit():
            return False
        self._take_turn()
        return True

    def clear_input(self) -> None:
        """Drop the audio appended and not committed: a false start."""
        self._turn.clear()
        if not self._is_away:
            self._session.clear_input()

    def create_response(self, *, now: float, instructions: str | None = None, tools_allowed: bool = True) -> None:
        """Let the agent speak: now, or as soon as the present response is over."""
        request = Request(instructions, tools_allowed)
        if self._is_away:
            self._owed = request
            self._press(now)
            return
        if not self._session.has_live_response:
            self._alive_at = now
        self._debt.ask(request)
        self._session.create_response(now=now, instructions=instructions, tools_allowed=tools_allowed)

    def cancel_response(self, *, now: float) -> None:
        """Let the agent be silent, whatever response is live, coming, or waiting its turn."""
        self._debt.cancel()
        self._owed = None
        if not self._is_away:
            self._session.cancel_response(now=now)

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> bool:
        """Tell the model that the caller heard no more of an item than its first ``audio_end_ms``; say if it can be.

        Of what an earlier session said it has the words that were heard.
        """
        if self._is_away or item_id not in self._items:
            return False
        return self._session.truncate(item_id, content_index, audio_end_ms)

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event of the user's own making to the present session."""
        self._session.send_event(event)

    def delete_item(self, item_id: str) -> None:
        """Take a turn of the caller's out of the conversation: it meant nothing."""
        if self._history.drop_turn(item_id) and not self._is_away:
            self._session.delete_item(item_id)

    def create_message(self, role: Literal["user", "assistant", "system"], words: str) -> None:
        """Put words into the conversation."""
        self._history.add_note(role, words)
        if not self._is_away:
            self._session.create_message(role, words)

    def send_tool_output(self, function_call_id: str, output: str) -> None:
        """Answer a function call, of this session or an earlier one."""
        if not self._history.has_call(function_call_id):  # so long ago that no later session was told of it
            self.create_message("user", f"A function that you called long ago returned: {output}")
            return
        self._history.add_output(function_call_id, output)
        if not self._is_away:
            self._session.send_tool_output(function_call_id, output)

    def send_approval(self, approval_request_id: str, is_given: bool, reason: str) -> None:
        """Say whether a tool may run where the model is."""
        if not self._is_away:
            self._session.send_approval(approval_request_id, is_given, reason)

    def tell(self, fact: events.Output) -> None:
        """Tell a fact; of what the agent was heard to say, note is taken."""
        if isinstance(fact, events.AgentStarted):
            self._history.begin_speech()
        elif isinstance(fact, events.AgentSaid):
            self._on_said(fact.text, is_ours=fact.item_id == RECORDED)
        self._emit(fact)

    def note(self, output: model.Output, *, now: float) -> bool:
        """Take note of what the present session says, but its messages; say whether it concerns the conversation."""
        match output:
            case model.AudioReceived(item_id):
                self.is_absent = self._is_stalled
                self._debt.speak()
                if item_id not in self._items:
                    remember(self._items, item_id, MAX_ITEMS)
            case model.AudioUnheard(item_id):
                remember(self._items, item_id, MAX_ITEMS)
            case model.ResponseCreated():
                self._debt.begin()
            case model.InputCommitted(item_id):
                if not self._is_local:
                    self._take_turn()
                self._history.name_turn(item_id)
                if self._echoes:
                    self._echoes -= 1
                    return False
            case model.CallerTranscript(item_id, text):
                self._history.write_turn(item_id, text)
            case model.FunctionCallRequested(function_call_id, name, arguments):
                self._debt.call()
                self._history.add_call(function_call_id, name, arguments)
            case model.SessionReady(_, expires_at):
                self._on_up(expires_at, now)
            case model.SessionFailed():
                self._on_failed(output, now)
        return True

    # A session ends

    def _open(self, engine: int) -> None:
        """Open the call's first session, with this engine."""
        self._successor.last_number += 1
        self._number, self._engine = self._successor.last_number, engine
        self._emit(events.ConnectModel(self._number, engine))

    def _on_up(self, expires_at: int | None, now: float) -> None:
        self._is_up = True
        self._plan(expires_at, now)

    def _plan(self, expires_at: int | None, now: float) -> None:
        ends_at = now + min(self._continuity.max_session_s, self._settings[self._engine].dialect.session_limit_s)
        if expires_at is not None and self._wall_offset is not None and expires_at - self._wall_offset > now:
            ends_at = min(ends_at, expires_at - self._wall_offset)
        self._roll = plan_roll(now, ends_at)
        self._roll_at = self._roll.prepare_at if self._is_wanted and self._continuity.give_up_s else inf

    def _on_failed(self, failed: model.SessionFailed, now: float) -> None:
        if not self._is_up:
            self._on_not_up(failed)
            return
        self._emit(events.ModelLost(failed.kind, failed.code, failed.message, self._engine))
        if not self._is_wanted or not self._continuity.give_up_s:
            self._give_up(failed)
            return
        self._leave(now)
        self._successor.seek(self._engine, until=now + self._continuity.give_up_s, now=now)
        if failed.kind == "fatal":
            self._successor.skip(self._engine)
            if not self._successor.is_sought:
                self._give_up(failed)

    def _on_not_up(self, failed: model.SessionFailed) -> None:
        """The first session can't be had: nobody was answered yet, so the next engine is tried at once."""
        if self._engine + 1 >= len(self._settings):
            self._give_up(failed)
            return
        self._emit(events.AttemptFailed(failed.kind, failed.code, failed.message, self._engine))
        self._emit(events.CloseModel(self._number))
        self._session = self._make(self._settings[self._engine + 1])
        self._open(self._engine + 1)
        self._emit(events.UseModel(self._number))
        self._emit(events.EngineChanged(self._engine))

    def _leave(self, now: float) -> None:
        """The present session is of no use any more; what it still owed is owed by the next."""
        self._lost_at = now
        self._owed = self._debt.owed(is_live=self._session.has_live_response)
        self._is_away = self.is_absent = True
        self._is_stalled = self._is_pressed = False
        self._roll_at = inf
        self._look_at = now + SOON_S
        self._history.forget_items(keeps_audio=self._is_local)

    def _give_up(self, failed: model.SessionFailed) -> None:
        self.failure = failed
        self._is_away = self.is_absent = False
        self._owed = None
        self._look_at = self._roll_at = inf
        self._successor.stop()
        self._emit(events.ModelFailed(failed.kind, failed.code, failed.message, self._engine))

    # The next one

    def _after_successor(self, now: float) -> None:
        successor = self._successor
        if successor.failure is not None:
            failed, successor.failure = successor.failure, None
            if self._is_away:
                self._give_up(failed)
            else:
                self._roll_at = now + ROLL_RETRY_S
        elif not successor.is_ready:
            self._prepared = None
        elif self._prepared is None:
            self._prepare(now)

    def _prepare(self, now: float) -> None:
        """Tell the successor what is settled already; the rest follows when it is used."""
        self._ready_at = now
        session, self._prepared, self._prepared_turns = self._successor.session, 0, 0
        if session is not None and not self._is_away:
            self._prepared = self._history.settled_end()
            self._prepared_turns = self._history.tell(session, 0, self._prepared)
            self._successor.send(now=now)
        self._look_at = now + SOON_S

    def _on_roll(self, now: float) -> None:
        """The present session nears its end."""
        self._roll_at = inf
        if not self._is_away:
            self._successor.seek(self._engine, until=max(now, self._roll.force_at), now=now)

    def _press(self, now: float) -> None:
        """Something waits for the next session, even while the agent's last words are still being heard."""
        self._is_pressed = True
        self._look_at = now + SOON_S

    def _look(self, agent_speaks: bool, caller_speaks: bool, now: float) -> None:
        """Use the successor if it is there and now is the time."""
        self._look_at = now + LOOK_S if self._successor.is_ready else inf  # one that is not ready makes itself heard
        if not self._successor.is_ready:
            return
        if self._is_away:
            if not agent_speaks or self._is_pressed:
                self._resume(now)
            return
        is_pause = not agent_speaks and not caller_speaks
        if not self._session.has_live_response and (is_pause or now >= self._roll.insist_at):
            self._roll_over(now)
        elif now >= self._roll.force_at:
            self._break_off(END_CODE, "its time is up", now)

    def _roll_over(self, now: float) -> None:
        self._history.forget_items(keeps_audio=self._is_local)
        self._use_successor(now)
        self._emit(events.SessionRolledOver(self._number))

    def _resume(self, now: float) -> None:
        owed, self._owed = self._owed, None
        self._is_away = False
        self.is_absent = owed is not None  # until its first word the caller waits for it all the same
        if owed is not None and owed.continues:
            self._history.mark_cut()
        gap_ms = round(max(0.0, self._ready_at - self._lost_at) * 1000)
        self._use_successor(now)
        self._emit(events.ModelResumed(gap_ms, self._engine))
        if owed is not None:
            self.create_response(now=now, instructions=owed.instructions, tools_allowed=owed.tools_allowed)

    def _use_successor(self, now: float) -> None:
        """Make the successor the present session; what it has not been told it is told first."""
        successor, old = self._successor, self._number
        engine, expires_at, prepared = successor.engine, successor.expires_at, self._prepared or 0
        was_ended = self._session.has_ended
        self._session.close()
        self._session, self._number, self._prepared = successor.take(), successor.last_number, None
        self._look_at, self._alive_at = inf, now
        self._items.clear()
        self._debt = Debt()
        self._emit(events.UseModel(self._number))
        if not was_ended:
            self._emit(events.CloseModel(old))
        if engine != self._engine:
            self._engine = engine
            self._emit(events.EngineChanged(engine))
        if self._wanted is not None:  # it may have been made ready for the agent before
            self._session.update(self._wanted, now=now)
        self._told = self._history.end
        self._echoes = self._prepared_turns + self._history.tell(self._session, prepared, self._told)
        if self._turn and not self._session.is_full_duplex:
            self._session.append_audio(self._turn.audio)
        self._plan(expires_at, now)

    # What was said

    def _take_turn(self) -> None:
        """What was appended is a turn."""
        self._history.add_turn(self._turn.audio)
        self._turn.clear()

    def _on_said(self, text: str, *, is_ours: bool) -> None:
        """The caller heard so much of an item; a session is told that knows only half of it, or nothing."""
        number = self._history.end_speech(text)
        if (is_ours or number < self._told) and not self._is_away:
            self._history.tell(self._session, number, number + 1)

    # The model is slow

    @property
    def _stall_due_at(self) -> float:
        if self._is_away or not self._is_up or self.failure is not None or not self._session.has_live_response:
            return inf
        limits = self._continuity
        return self._alive_at + (limits.lost_s if self._is_stalled else limits.stalled_s)

    def _on_silence(self, now: float) -> None:
        silent_s = now - self._alive_at
        if self._is_stalled:
            self._break_off(LOST_CODE, f"no word for {silent_s:.1f} s", now)
        else:
            self._is_stalled = self.is_absent = True
            self._emit(events.ModelStalled(silent_s))

    def _break_off(self, code: int, reason: str, now: float) -> None:
        """End the present session from here; what follows is as if the server had."""
        self._session.connection_lost(code, reason, now=now)
        self._emit(events.CloseModel(self._number))

    def _on_recovered(self, now: float) -> None:
        self._is_stalled = self.is_absent = False
        self._emit(events.ModelRecovered())
