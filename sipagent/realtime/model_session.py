"""What a call needs of a session with a model, whichever protocol it speaks.

A session is a :class:`~sipagent.machine.Machine` of one connection, which the shell opens and closes. A command that a
protocol has no word for does nothing: what it would have achieved is then the model's business, or done locally.
"""

from collections import deque
from typing import Any, Literal, Protocol

from sipagent.realtime.events import Output
from sipagent.realtime.settings import SessionSettings


class ModelSession(Protocol):
    """A session of the Realtime API, of GPT-Live, or of a server that speaks nearly one of them."""

    @property
    def outputs(self) -> deque[Output]:
        """What :meth:`poll` returns; where every frame counts they are taken from here."""

    @property
    def is_ready(self) -> bool:
        """Whether audio and commands may flow."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come of this session any more."""

    @property
    def has_live_response(self) -> bool:
        """Whether the model speaks, or will without further asking."""

    @property
    def is_full_duplex(self) -> bool:
        """Whether the model hears and speaks at once, and decides by itself when it stops for the caller."""

    @property
    def server_silence_ms(self) -> int:
        """How much silence lets the model say that a turn is over; 0 where it needs none from us."""

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""

    def poll(self) -> Output | None:
        """Return the next output, or ``None``."""

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is due."""

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""

    def open(self, *, now: float) -> None:
        """The connection is open."""

    def receive_text(self, data: str | bytes, *, now: float) -> None:
        """One message of the server; never raises."""

    def connection_lost(self, code: int, reason: str, *, now: float) -> None:
        """The connection is gone, or never came to be."""

    def close(self) -> None:
        """Nothing more is wanted; the shell closes the connection."""

    def update(self, settings: SessionSettings, *, now: float) -> None:
        """Change what the model is to be, while the audio goes on; an output says whether it came about."""

    def append_audio(self, audio: bytes) -> None:
        """Give the model the caller's audio, in the format of the call."""

    def commit(self) -> bool:
        """Make the audio appended the caller's turn; say whether it became one that we are to ask an answer for."""

    def clear_input(self) -> None:
        """Drop the audio appended and not committed."""

    def create_response(self, *, now: float, instructions: str | None = None, tools_allowed: bool = True) -> None:
        """Let the agent speak: now, or as soon as it has said what it is saying."""

    def cancel_response(self, *, now: float) -> None:
        """Let the agent be silent; what still comes of what it was saying is dropped."""

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> bool:
        """Tell the model that the caller heard no more of an item; say whether it can be told."""

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event of the user's own making, as the Realtime API writes it.

        :raises LocalProtocolError: where another protocol is spoken.
        """

    def delete_item(self, item_id: str) -> None:
        """Take an item out of the conversation."""

    def create_message(self, role: Literal["user", "assistant", "system"], words: str) -> None:
        """Put words into the conversation."""

    def create_function_call(self, function_call_id: str, name: str, arguments: str) -> None:
        """Put a function call of an earlier session's into the conversation, so that its output finds it."""

    def send_tool_output(self, function_call_id: str, output: str) -> None:
        """Answer a function call."""

    def send_approval(self, approval_request_id: str, is_given: bool, reason: str) -> None:
        """Say whether a tool may run where the model is."""
