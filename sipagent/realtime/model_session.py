"""What a call needs of a session with a model, whichever protocol it speaks.

A session is a :class:`~sipagent.machine.Machine` of one connection, which the shell opens and closes. A command that a
protocol has no word for does nothing: what it would have achieved is then the model's business, or done locally.
"""

from typing import Any, Literal

from sipagent.realtime.events import Output
from sipagent.realtime.settings import SessionSettings


class ModelSession:
    """A session of the Realtime API, of GPT-Live, or of a server that speaks nearly one of them.

    A base class and no protocol, so that compiled code calls it directly: the caller's audio goes through it.
    """

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        """What :meth:`poll` returns; where every frame counts they are taken from here, the first one first."""
        self.is_ready = False
        """Whether audio and commands may flow."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come of this session any more."""
        raise NotImplementedError

    @property
    def has_live_response(self) -> bool:
        """Whether the model speaks, or will without further asking."""
        raise NotImplementedError

    @property
    def is_full_duplex(self) -> bool:
        """Whether the model hears and speaks at once, and decides by itself when it stops for the caller."""
        raise NotImplementedError

    @property
    def server_silence_ms(self) -> int:
        """How much silence lets the model say that a turn is over; 0 where it needs none from us."""
        raise NotImplementedError

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        raise NotImplementedError

    def poll(self) -> Output | None:
        """Return the next output, or ``None``."""
        return self.outputs.pop(0) if self.outputs else None

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is due."""
        raise NotImplementedError

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        raise NotImplementedError

    def open(self, *, now: float) -> None:
        """The connection is open."""
        raise NotImplementedError

    def receive_text(self, data: str | bytes, *, now: float) -> None:
        """One message of the server; never raises."""
        raise NotImplementedError

    def connection_lost(self, code: int, reason: str, *, now: float) -> None:
        """The connection is gone, or never came to be."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing more is wanted; the shell closes the connection."""
        raise NotImplementedError

    def update(self, settings: SessionSettings, *, now: float) -> None:
        """Change what the model is to be, while the audio goes on; an output says whether it came about."""
        raise NotImplementedError

    def append_audio(self, audio: bytes) -> None:
        """Give the model the caller's audio, in the format of the call."""
        raise NotImplementedError

    def commit(self) -> bool:
        """Make the audio appended the caller's turn; say whether it became one that we are to ask an answer for."""
        raise NotImplementedError

    def clear_input(self) -> None:
        """Drop the audio appended and not committed."""
        raise NotImplementedError

    def create_response(self, *, now: float, instructions: str | None = None, tools_allowed: bool = True) -> None:
        """Let the agent speak: now, or as soon as it has said what it is saying."""
        raise NotImplementedError

    def cancel_response(self, *, now: float) -> None:
        """Let the agent be silent; what still comes of what it was saying is dropped."""
        raise NotImplementedError

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> bool:
        """Tell the model that the caller heard no more of an item; say whether it can be told."""
        raise NotImplementedError

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event of the user's own making, as the Realtime API writes it.

        :raises LocalProtocolError: where another protocol is spoken.
        """
        raise NotImplementedError

    def delete_item(self, item_id: str) -> None:
        """Take an item out of the conversation."""
        raise NotImplementedError

    def create_message(self, role: Literal["user", "assistant", "system"], words: str) -> None:
        """Put words into the conversation."""
        raise NotImplementedError

    def create_function_call(self, function_call_id: str, name: str, arguments: str) -> None:
        """Put a function call of an earlier session's into the conversation, so that its output finds it."""
        raise NotImplementedError

    def send_tool_output(self, function_call_id: str, output: str) -> None:
        """Answer a function call."""
        raise NotImplementedError

    def send_approval(self, approval_request_id: str, is_given: bool, reason: str) -> None:
        """Say whether a tool may run where the model is."""
        raise NotImplementedError
