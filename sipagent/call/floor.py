"""Who has the floor: the caller's turns against the agent's voice.

A sound of the caller's over the agent makes it pause in the stack of the packet that brought it. If he goes on the
agent is cut: its queue is emptied, the response cancelled, and what was heard told to the model, in the stack of the
packet that convinced us. If he does not, the agent goes on with the very sample that was due, or whatever else
``barge_in`` makes of the sound.
"""

from collections.abc import Callable

from sipagent.call import events, steering
from sipagent.call.barge_in import BargeIn, BargeInSettings, Meaning
from sipagent.call.listener import Listener, ListenerSettings
from sipagent.call.model_link import ModelLink
from sipagent.call.server_turns import PATIENCE_S, Commit, ServerTurns
from sipagent.call.speaker import Speaker
from sipagent.call.turn import TurnChange
from sipagent.realtime.events import CallerTranscript, InputCommitted
from sipagent.rtp.session import Frame


class Floor:
    """The caller's and the agent's, of one conversation.

    :param hears_words: whether the model writes down what callers say.
    :param dismissed: is told of each turn that turned out to be noise, so that nobody waits for its end, and when.
    :param interrupted: is told of each interruption, and whether anything was, or was to be, audible.
    """

    def __init__(
        self,
        settings: BargeInSettings,
        *,
        listener: Listener,
        speaker: Speaker,
        session: ModelLink,
        emit: Callable[[events.Output], None],
        hears_words: bool,
        interrupted: Callable[[bool], None],
        dismissed: Callable[[float], None],
    ) -> None:
        self._listener = listener
        self._speaker = speaker
        self._session = session
        self._emit = emit
        self._interrupted = interrupted
        self._dismissed = dismissed
        answers_all = not listener.is_local and not listener.is_hybrid
        self._barge_in = BargeIn(settings, hears_words=hears_words, answers_all=answers_all)
        self._server_turns = ServerTurns(listener.server_silence_s + PATIENCE_S) if listener.is_hybrid else None
        self.is_halted = False
        """Whether the agent waits, at a program's word."""
        self.greets = False
        """Whether the greeting is to be said, and none of it was heard."""

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        turns = self._server_turns
        return self._listener.due_at if turns is None else min(self._listener.due_at, turns.due_at)

    @property
    def is_local(self) -> bool:
        """Whether turns are judged here, and responses asked for by us."""
        return self._listener.is_local

    @property
    def is_weighing(self) -> bool:
        """Whether it is still open if a sound of the caller's interrupts the agent."""
        return self._listener.is_tentative

    @property
    def is_caller_speaking(self) -> bool:
        """Whether the caller has the floor, or may be about to take it."""
        return self._listener.is_caller_speaking or self._listener.is_tentative

    def change(self, settings: BargeInSettings, listener: ListenerSettings) -> None:
        """From now on, other manners hold."""
        self._listener.change(listener)
        self._barge_in.change(settings, answers_all=not self._listener.is_local)

    def begin(self, *, now: float) -> None:
        """Take note that the call was answered."""
        self._barge_in.begin(now=now)

    def hear(self, audio: bytes, *, is_announcing: bool, now: float) -> bool:
        """Take a frame of the caller's; say whether a turn began with it. Hot path.

        :param is_announcing: whether something is heard that is not the agent.
        """
        listener, begins = self._listener, False
        if listener.hears_speech(audio, over_agent=is_announcing or self._speaker.may_echo, now=now):
            begins = self._hear_speech(audio, now)
        elif listener.is_mistaken:
            self._dismiss(now)
        listener.forward(audio, now=now)
        return begins

    def receive_gap(self, frame: Frame, *, is_announcing: bool, now: float) -> None:
        """Take a frame in which nothing was said that came here: silence, or what fills in for what was lost."""
        listener = self._listener
        listener.hear_gap(frame, over_agent=is_announcing or self._speaker.may_echo, now=now)
        if listener.is_mistaken:
            self._dismiss(now)
        if frame.payload:
            listener.forward(frame.payload, now=now)
        else:
            listener.forward_silence(frame.samples, now=now)

    def receive_answer(self, chance: float, burst: int, *, now: float) -> None:
        """Take how likely it is that a window of the caller's sound held speech."""
        self._listener.receive_answer(chance, burst, now=now)
        if self._listener.is_mistaken:
            self._dismiss(now)

    def handle_timer(self, *, now: float) -> bool:
        """Do what is due; say whether the caller has said something and waits for an answer."""
        if self._server_turns is not None and self._server_turns.handle_timer(now=now):
            self._listener.commit_for_server()
        change = self._listener.handle_timer(now=now)
        if change is TurnChange.WITHDRAWN:
            self._weigh(now)
        if change is not TurnChange.STOPPED:
            return False
        self._emit(events.SpeechStopped(self._listener.turn_ms))
        return self._commit(now)

    def take_item(self, item: CallerTranscript | InputCommitted, *, now: float) -> bool:
        """Take what became of the caller's audio, an item or its words; say whether an answer is to be asked for."""
        if isinstance(item, CallerTranscript):
            return self._take_words(item.item_id, item.text, now)
        return self._note_item(item.item_id, now)

    def _take_words(self, item_id: str, text: str, now: float) -> bool:
        """Take what the caller said, as the model's ear heard it.

        What was said aside, over the agent who spoke on, may be an interruption after all.
        """
        if not self._barge_in.take_aside(item_id):
            if text:
                self._emit(events.CallerSaid(text, item_id))
            return False
        if self._barge_in.is_backchannel(text):
            self._session.delete_item(item_id)
            self._emit(events.Backchanneled(text))
            return False
        self._emit(events.CallerSaid(text, item_id))
        if self._speaker.is_protected:
            return False
        self.interrupt(onset_at=now, now=now)
        return not self.is_caller_speaking

    def agent_said(self, item_id: str, content_index: int, text: str, *, is_final: bool) -> None:
        """Take what the agent has to say, in words; by them the caller's answer is listened to."""
        self._speaker.receive_text(item_id, content_index, text, is_final=is_final)
        if is_final:
            self._listener.agent_said(text)

    def _note_item(self, item_id: str, now: float) -> bool:
        """Take note of the item that the caller's audio became."""
        turns, commit = self._server_turns, Commit.WAIT
        if turns is not None:
            is_agent_heard = self._speaker.is_speaking or self._session.has_live_response
            commit = turns.committed(silent_s=self._listener.silent_s(now=now), is_agent_heard=is_agent_heard)
            self._barge_in.note_commit(is_aside=commit is Commit.ASIDE)
        self._barge_in.note_item(item_id)
        if commit is Commit.ANSWER and self._listener.end_turn():
            self._emit(events.SpeechStopped(self._listener.turn_ms))
        return commit is Commit.ANSWER

    def interrupt(self, *, onset_at: float, now: float) -> None:
        """Let the agent be silent, whatever it was saying or about to say."""
        self._silence(events.BargedIn(onset_at, self._speaker.queued_ms), now)

    def stop(self, *, now: float) -> None:
        """The same, at a program's word."""
        self._silence(steering.Interrupted(self._speaker.queued_ms), now)

    def halt(self) -> None:
        """Let the agent wait in mid-word, at a program's word; a turn of the caller's is dropped."""
        self.is_halted = True
        self.forget()
        self._speaker.pause()
        self._emit(steering.Halted(True))

    def proceed(self) -> None:
        """Let it go on with the word that was due."""
        self.is_halted = False
        self._speaker.resume()
        self._emit(steering.Halted(False))

    def close(self) -> None:
        """The call is over: let go of whoever was told."""
        self._interrupted, self._dismissed = _ignore, _ignore_too

    def forget(self) -> None:
        """Drop a turn of the caller's that is not to be answered; the agent goes on."""
        self._listener.forget()
        if self._server_turns is not None:
            self._server_turns.forget()
        self._resume(0)

    def _silence(self, fact: events.BargedIn | steering.Interrupted, now: float) -> None:
        cut = self._speaker.interrupt(now=now)
        is_audible = bool(fact.discarded_ms or cut)
        if is_audible:
            self._emit(fact)
        self._interrupted(is_audible)
        for each in cut:
            self._emit(each)

    def _hear_speech(self, audio: bytes, now: float) -> bool:
        is_busy = self._speaker.is_speaking or self._session.has_live_response
        may_interrupt = is_busy and not self._speaker.is_protected and self._barge_in.may_interrupt(now=now)
        change = self._listener.receive_speech(audio, may_interrupt=may_interrupt, now=now)
        if change is not None:
            self._session.note_speech()
        if change is TurnChange.STARTED:
            self._begin_turn(cuts=may_interrupt, now=now)
        elif change is TurnChange.TENTATIVE:
            self._speaker.pause()
            self._emit(events.AgentPaused(self._listener.onset_at, self._listener.level_dbfs))
        return change is TurnChange.STARTED

    def _begin_turn(self, *, cuts: bool, now: float) -> None:
        if self._server_turns is not None:
            self._server_turns.began()
        self._emit(events.SpeechStarted(self._listener.onset_at, self._listener.level_dbfs))
        if cuts:
            self.interrupt(onset_at=self._listener.onset_at, now=now)
        elif self._session.is_full_duplex:
            self._speaker.catch_up()  # whether it goes on or stops is the model's to say

    def _weigh(self, now: float) -> None:
        """Decide what the sound was for which the agent paused."""
        speaker, listener = self._speaker, self._listener
        sound_ms = listener.withdrawn_ms
        rest_ms = None if self._session.has_live_response else speaker.queued_ms
        meaning = self._barge_in.judge(sound_ms, greets=self.greets, has_begun=speaker.has_begun, rest_ms=rest_ms)
        if meaning in (Meaning.ANSWER, Meaning.INTERRUPTION):
            listener.take()
            self._begin_turn(cuts=meaning is Meaning.INTERRUPTION, now=now)
        elif meaning is Meaning.NOISE or not listener.commit_aside():
            listener.drop()
        else:
            self._barge_in.note_commit(is_aside=meaning is Meaning.ASIDE)
        self._resume(sound_ms)

    def _dismiss(self, now: float) -> None:
        """What began like a turn is noise: the agent goes on, and nothing is answered."""
        was_turn = self._listener.is_caller_speaking
        self._listener.dismiss()
        if self._server_turns is not None:
            self._server_turns.forget()
        if was_turn:
            self._emit(events.FalseStart(self._listener.turn_ms))
        self._resume(0)
        self._dismissed(now)

    def _resume(self, sound_ms: int) -> None:
        if self._speaker.is_paused:
            self._speaker.resume()
            self._emit(events.AgentResumed(sound_ms))

    def _commit(self, now: float) -> bool:
        asks = self._listener.commit(now=now)
        if self._server_turns is not None:
            self._server_turns.stopped(now=now)
        if asks:
            self._barge_in.note_commit(is_aside=False)
        return asks


def _ignore(_was_speaking: bool) -> None:
    """Nobody is told any more."""


def _ignore_too(_now: float) -> None:
    """Nobody is told of this, either."""
