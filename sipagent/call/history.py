"""The conversation as it was really heard, kept so that another session can be told of it.

What the agent said is what the caller heard of it. What the caller said is text once the model has written it down;
until then it is the audio itself. All of it is bounded: the oldest goes first.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from sipagent.realtime.model_session import ModelSession

Role: TypeAlias = Literal["user", "assistant", "system"]

MAX_ENTRIES: Final = 200
"""An hour of talk has as many turns; a model that is told of the last quarter of an hour knows what it is about."""

MAX_CHARACTERS: Final = 8_000
"""Of one entry: a tool's output may be long, a spoken sentence is not."""

RECORDED: Final = "recorded"
"""The item that a recording in the agent's name stands for: the model knows none of it, and is told what was heard."""
MAX_ITEMS: Final = 64
"""How many of a session's items are remembered, to know whose they are; what waits to be played are a few."""

MAX_AUDIO_S: Final = 60
"""Of all turns that nobody has written down, together."""

UNWRITTEN: Final = "(The caller said something that was not written down.)"

CUT: Final = " —"
"""How words end that were cut."""


@dataclass(slots=True)
class Entry:
    """One item of the conversation; without words and audio it is none yet, or was none."""

    kind: Literal["caller", "agent", "note", "call", "output"]
    text: str = ""
    item_id: str = ""
    """The present session's, of a turn of the caller's; the function call's own id, of the calls of tools."""
    name: str = ""
    role: Role = "user"
    audio: bytes = b""
    """The turn itself, in the format of the call, until it has words."""
    is_open: bool = False
    """Whether its words are still to come."""

    def tell(self, session: ModelSession) -> None:
        """Tell a session of it."""
        match self.kind:
            case "call":
                session.create_function_call(self.item_id, self.name, self.text)
            case "output":
                session.send_tool_output(self.item_id, self.text)
            case "agent":
                if self.text:
                    session.create_message("assistant", self.text)
            case "caller":
                self._tell_turn(session)
            case "note":
                session.create_message(self.role, self.text)

    def _tell_turn(self, session: ModelSession) -> None:
        """Let the session hear it where nobody wrote it down."""
        if self.audio:
            session.append_audio(self.audio)
            session.commit()
        else:
            session.create_message("user", self.text or UNWRITTEN)


@dataclass(slots=True)
class History:
    """The entries of one call, each with a number that grows.

    :param max_audio: bytes of audio that may be kept.
    """

    max_audio: int
    _entries: list[Entry] = field(default_factory=list)
    _first: int = 0
    """The number of the oldest entry kept."""

    @property
    def end(self) -> int:
        """The number that the next entry will have."""
        return self._first + len(self._entries)

    def add_turn(self, audio: bytes) -> None:
        """Note a turn of the caller's, whose words come later if at all; those of the one before are overdue."""
        for entry in self._entries:
            if entry.kind == "caller" and entry.item_id:
                entry.is_open = False
        self._add(Entry("caller", audio=audio, is_open=True))
        self._shed_audio()

    def name_turn(self, item_id: str) -> None:
        """Note which item of the session the oldest nameless turn became."""
        for entry in self._entries:
            if entry.kind == "caller" and entry.is_open and not entry.item_id:
                entry.item_id = item_id
                return

    def write_turn(self, item_id: str, text: str) -> None:
        """Note what a turn's words were; the audio is needed no more. A model that knows no turns names none."""
        for entry in reversed(self._entries):
            if entry.kind == "caller" and entry.item_id == item_id and not entry.text:
                entry.text, entry.audio, entry.is_open = text[:MAX_CHARACTERS], b"", False
                return
        if not item_id:
            self.add_note("user", text)

    def drop_turn(self, item_id: str) -> bool:
        """Forget what a turn was; say whether it is one of the present session's."""
        for entry in reversed(self._entries):
            if entry.kind == "caller" and entry.item_id == item_id:
                entry.kind, entry.text, entry.audio, entry.is_open = "agent", "", b"", False
                return True
        return False

    def begin_speech(self) -> None:
        """Note that the agent begins to say something; its words come when they have been heard."""
        self._add(Entry("agent", is_open=True))

    def end_speech(self, text: str) -> int:
        """Note what the caller heard of it; return the number of the entry."""
        for number, entry in enumerate(self._entries, self._first):
            if entry.kind == "agent" and entry.is_open:
                entry.text, entry.is_open = text[:MAX_CHARACTERS], False
                return number
        self._add(Entry("agent", text[:MAX_CHARACTERS]))
        return self.end - 1

    def mark_cut(self) -> None:
        """Note that the agent's last words had no end."""
        last = next((entry for entry in reversed(self._entries) if entry.kind == "agent" and entry.text), None)
        if last is not None and not last.text.endswith(CUT):
            last.text += CUT

    def add_note(self, role: Role, words: str) -> None:
        """Note words that were put into the conversation."""
        self._add(Entry("note", words[:MAX_CHARACTERS], role=role))

    def add_call(self, function_call_id: str, name: str, arguments: str) -> None:
        """Note that the model called a function."""
        self._add(Entry("call", arguments, function_call_id, name))

    def add_output(self, function_call_id: str, output: str) -> None:
        """Note what the function returned; cut, for a history is no place for books."""
        self._add(Entry("output", output[:MAX_CHARACTERS], function_call_id))

    def has_call(self, function_call_id: str) -> bool:
        """Whether a function call is remembered."""
        return any(entry.kind == "call" and entry.item_id == function_call_id for entry in self._entries)

    def tell(self, session: ModelSession, begin: int, end: int) -> int:
        """Tell a session of the entries of these numbers, but of outputs whose calls are forgotten.

        :returns: how many turns of the caller's it was given to hear.
        """
        heard = 0
        calls = {entry.item_id for entry in self._entries if entry.kind == "call"}
        for entry in self._entries[max(0, begin - self._first) : max(0, end - self._first)]:
            if entry.kind != "output" or entry.item_id in calls:
                entry.tell(session)
                heard += bool(entry.audio)
        return heard

    def settled_end(self) -> int:
        """The number of the first entry whose words are still to come, else of the next."""
        return next((number for number, entry in enumerate(self._entries, self._first) if entry.is_open), self.end)

    def forget_items(self, *, keeps_audio: bool) -> None:
        """Note that the session is gone that was to write the caller's turns down.

        :param keeps_audio: whether another one will be given those that it did not write.
        """
        for entry in self._entries:
            if entry.kind == "caller":
                entry.audio = entry.audio if keeps_audio else b""
                entry.item_id, entry.is_open = "", bool(entry.audio)

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[0]
            self._first += 1

    def _shed_audio(self) -> None:
        kept = 0
        for entry in reversed(self._entries):
            kept += len(entry.audio)
            if kept > self.max_audio:
                entry.audio, entry.is_open = b"", False


