"""The call's link to its model: what listener, speaker and conversation talk to, whichever session is behind it.

Connections are numbered from 1, so that the shell may hold two at once, and a late word of one that was given up is
known as such.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Literal

from sipagent.call import events
from sipagent.call.session_factory import make_session
from sipagent.formats import AudioFormat
from sipagent.realtime import events as model
from sipagent.realtime.settings import SessionSettings


class ModelLink:
    """Owns the present session.

    :param emit: takes commands to the shell.
    """

    def __init__(
        self,
        settings: SessionSettings,
        *,
        audio_format: AudioFormat,
        emit: Callable[[events.Output], None],
        random: Random,
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._random = random
        self._number = 0
        self._session = make_session(settings, audio_format=audio_format, random=random)

    # The connection

    def connect(self) -> None:
        """Have the connection opened."""
        self._number += 1
        self._emit(events.ConnectModel(self._number))

    def connected(self, number: int, *, now: float) -> None:
        """Take note that a connection is open."""
        if number == self._number:
            self._session.open(now=now)

    def receive(self, data: bytes | str, number: int, *, now: float) -> None:
        """Take a message from the model."""
        if number == self._number:
            self._session.receive_text(data, now=now)

    def lost(self, code: int, reason: str, number: int, *, now: float) -> None:
        """Take note that a connection closed, or could not be opened."""
        if number == self._number:
            self._session.connection_lost(code, reason, now=now)

    # What the conversation reads

    @property
    def outputs(self) -> deque[model.Output]:
        """What the present session has to say, and to send."""
        return self._session.outputs

    @property
    def has_live_response(self) -> bool:
        """Whether a response speaks, or will without further asking."""
        return self._session.has_live_response

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
        return self._session.due_at

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        self._session.handle_timer(now=now)

    # What listener, speaker and conversation do

    def update(self, settings: SessionSettings, *, now: float) -> None:
        """Change what the model is to be; ``SessionUpdated`` or ``UpdateRefused`` comes of it."""
        self._session.update(settings, now=now)

    def append_audio(self, audio: bytes) -> None:
        """Send the caller's audio."""
        self._session.append_audio(audio)

    def commit(self) -> bool:
        """Make the audio appended the caller's turn; ``False`` when it is too short for one."""
        return self._session.commit()

    def clear_input(self) -> None:
        """Drop the audio appended and not committed: a false start."""
        self._session.clear_input()

    def create_response(self, *, now: float, instructions: str | None = None, tools_allowed: bool = True) -> None:
        """Let the agent speak: now, or as soon as the present response is over."""
        self._session.create_response(now=now, instructions=instructions, tools_allowed=tools_allowed)

    def cancel_response(self, *, now: float) -> None:
        """Let the agent be silent, whatever response is live, coming, or waiting its turn."""
        self._session.cancel_response(now=now)

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> bool:
        """Tell the model that the caller heard no more of an item than its first ``audio_end_ms``; say if it can be."""
        return self._session.truncate(item_id, content_index, audio_end_ms)

    def delete_item(self, item_id: str) -> None:
        """Take an item out of the conversation."""
        self._session.delete_item(item_id)

    def create_message(self, role: Literal["user", "assistant", "system"], words: str) -> None:
        """Put words into the conversation."""
        self._session.create_message(role, words)

    def send_tool_output(self, function_call_id: str, output: str) -> None:
        """Answer a function call."""
        self._session.send_tool_output(function_call_id, output)
