"""A few words while a tool takes long, in the model's own voice: "One moment, I am looking."

Once a wait, and never into a sentence. They give way to the answer: once the tools are back no more of them is made,
and what was made stops in mid-word when the first sound of the answer is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from sipagent.call import events
from sipagent.call.model_link import ModelLink
from sipagent.call.speaker import Speaker

LATER_S: Final = 0.25
"""When it is looked again whether the words can be said, while somebody speaks."""


@dataclass(frozen=True, slots=True)
class StopgapSettings:
    """What is said meanwhile."""

    instructions: str
    """For the model."""
    after_s: float = 1.0
    """How long a tool may take before that."""


class Stopgap:
    """One conversation's.

    :param settings: ``None`` for nothing.
    :param emit: takes facts.
    """

    def __init__(
        self,
        settings: StopgapSettings | None,
        *,
        session: ModelLink,
        speaker: Speaker,
        emit: Callable[[events.Output], None],
    ) -> None:
        self._settings = settings
        self._session = session
        self._speaker = speaker
        self._emit = emit
        self._is_watching = False
        self._is_asked = False
        self._response_id: str | None = None
        self._items: set[str] = set()
        self.due_at = inf
        """When :meth:`handle_timer` is due; infinity when it is not."""

    @property
    def is_live(self) -> bool:
        """Whether the words are being made, or asked for."""
        return self._is_asked or self._response_id is not None

    def watch(self, *, is_running: bool, now: float) -> None:
        """Take note whether the caller waits for a tool."""
        if self._settings is None or is_running is self._is_watching:
            return
        self._is_watching = is_running
        self.due_at = now + self._settings.after_s if is_running else inf

    def handle_timer(self, *, may_speak: bool, now: float) -> None:
        """Have the words said, if it is time.

        :param may_speak: whether neither side speaks.
        """
        if self._settings is None or now < self.due_at:
            return
        if not may_speak:
            self.due_at = now + LATER_S
            return
        self.due_at = inf
        self._is_asked = True
        self._session.create_response(instructions=self._settings.instructions, tools_allowed=False, now=now)

    def response_created(self, response_id: str) -> None:
        """Take note of a response; the one that was asked for is ours."""
        if self._is_asked:
            self._is_asked, self._response_id = False, response_id

    def response_done(self, response_id: str) -> None:
        """Take note that a response is over."""
        if response_id == self._response_id:
            self._response_id = None

    def make_way(self, *, now: float) -> None:
        """An answer is asked for: make no more words."""
        if self.is_live:
            self._is_asked, self._response_id = False, None
            self._session.cancel_response(now=now)

    def receive_audio(self, item_id: str) -> None:
        """Take note of audio that is about to be played: of our words, or of the answer, which cuts them."""
        if self._response_id is not None:
            self._items.add(item_id)
        elif self._items and item_id not in self._items:
            self._items.clear()
            if self._speaker.is_speaking:
                for fact in self._speaker.give_way():
                    self._emit(fact)
