"""What a program may have a call do, each at once or not at all.

A command that is illegal in this state raises :class:`~sipagent.errors.LocalProtocolError` and changes nothing. The
program is trusted with its callers, but not with the rules of the protocols: what the call counts, asks for and answers
itself can't be sent past it.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from sipagent.agent.builtin import DIGITS_MAX, KEYS
from sipagent.agent.profile import EXACTLY
from sipagent.call.call import Call
from sipagent.call.phase import Phase
from sipagent.call.remarks import SAY, Remark
from sipagent.call.succession import AgentChange
from sipagent.errors import LocalProtocolError

Side: TypeAlias = Literal["caller", "agent", "both"]

MAX_TEXT: Final = 4_000
"""Characters to be said at once: some five minutes."""

MAX_REASON: Final = 100
"""Characters; it is a word for the log and a label for the metrics."""

MAX_EVENT_BYTES: Final = 65_536
"""Of a raw event: a long text is 4 KB, and the model's whole context is a few hundred."""

ALLOWED_EVENTS: Final = frozenset({"conversation.item.create", "conversation.item.delete", "session.update"})
"""Which events of the Realtime API may be sent raw.

Not the others: audio and its commits are the listener's, truncation is the ledger's, and a response that the call did
not ask for it would not let be heard.
"""

ALLOWED_SETTINGS: Final = frozenset(
    {"type", "instructions", "tool_choice", "max_output_tokens", "truncation", "reasoning", "parallel_tool_calls"}
)
"""What a raw ``session.update`` may change: not the format, the turns, nor the tools, of which the call has its own."""


class Commands:
    """Those for one call."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def say(self, text: str, *, verbatim: bool = False, is_interruptible: bool = True, now: float) -> None:
        """Have the agent say something in the next pause, in its own words or in these.

        :param is_interruptible: whether the caller may stop it by speaking.
        """
        if not text.strip() or len(text) > MAX_TEXT:
            raise LocalProtocolError(f"text of 1 to {MAX_TEXT} characters can be said, not of {len(text)}")
        instructions = (EXACTLY if verbatim else SAY).format(text=text)
        self._call.conversation.remark(Remark(instructions, is_interruptible), now=now)

    def prompt(self, instructions: str, *, now: float) -> None:
        """Have the agent speak in the next pause, as these instructions say."""
        if not instructions.strip() or len(instructions) > MAX_TEXT:
            raise LocalProtocolError(f"instructions have 1 to {MAX_TEXT} characters, not {len(instructions)}")
        self._call.conversation.remark(Remark(instructions), now=now)

    def interrupt(self, *, now: float) -> None:
        """Have the agent fall silent now, in mid-word; what waits to be said is forgotten."""
        self._call.conversation.stop(now=now)

    def pause(self, *, now: float) -> None:
        """Have the agent fall silent in mid-word and neither listen nor answer, until it is resumed."""
        self._call.conversation.halt(now=now)

    def resume(self, *, now: float) -> None:
        """Have the agent go on with the word that was due."""
        self._call.conversation.proceed(now=now)

    def hold(self, *, now: float) -> None:
        """Have the agent wait in mid-word and the caller hear that he is on hold: ``hold_music``, or silence."""
        self._call.conversation.halt(plays_music=True, now=now)

    def unhold(self, *, now: float) -> None:
        """Take the caller back."""
        self._call.conversation.proceed(now=now)

    def mute(self, side: Side, is_muted: bool = True, *, now: float) -> None:
        """Have the agent not hear the caller, or the caller not hear the agent.

        What a muted agent says is lost to the caller; the model, which can't be told, takes it for heard.
        """
        self._call.mute(
            caller=is_muted if side in ("caller", "both") else None,
            agent=is_muted if side in ("agent", "both") else None,
        )

    def send_event(self, event: Mapping[str, Any], *, now: float) -> None:
        """Send the model an event of :data:`ALLOWED_EVENTS`."""
        kind = event.get("type")
        if kind not in ALLOWED_EVENTS:
            raise LocalProtocolError(f"{kind!r} can't be sent; one of {', '.join(sorted(ALLOWED_EVENTS))} can")
        session = event.get("session", {})
        if kind == "session.update" and not (isinstance(session, dict) and session.keys() <= ALLOWED_SETTINGS):
            raise LocalProtocolError(f"of a session only {', '.join(sorted(ALLOWED_SETTINGS))} can be updated")
        try:
            size = len(msgspec.json.encode(event))
        except (TypeError, ValueError, RecursionError) as error:
            raise LocalProtocolError(f"an event that is no JSON: {error}") from error
        if size > MAX_EVENT_BYTES:
            raise LocalProtocolError(f"an event of {size} bytes is longer than {MAX_EVENT_BYTES}")
        self._call.conversation.send_event(dict(event), now=now)

    def send_digits(self, digits: str, *, now: float) -> None:
        """Press keys of the telephone, toward the caller."""
        keys = digits.upper()
        if not 0 < len(keys) <= DIGITS_MAX or not set(keys) <= set(KEYS):
            raise LocalProtocolError(f"1 to {DIGITS_MAX} keys of {KEYS} can be pressed")
        self._call.conversation.tools.press(keys)

    def transfer(self, target: str, *, now: float) -> None:
        """Hand the call on, once the agent has said so.

        :param target: one of the agent's destinations, or a number or a SIP URI that ``allow_transfer`` allows.
        """
        self._call.transfer(target, now=now)

    def update_agent(self, change: AgentChange, *, now: float) -> None:
        """Let another agent go on with the call; it says nothing of it before it is asked."""
        if self._call.phase is not Phase.UP:
            raise LocalProtocolError(f"the call is {self._call.phase.value}, not up")
        self._call.update_agent(change, now=now)

    def hang_up(
        self, reason: str = "hung_up", *, says_goodbye: bool = False, at_once: bool = False, now: float
    ) -> None:
        """End the call: by default when what is being said has been heard.

        :param says_goodbye: whether the agent says goodbye first.
        :param at_once: whether a word is cut.
        """
        if not reason.isidentifier() or len(reason) > MAX_REASON:
            raise LocalProtocolError("a reason is a word of letters, digits and underscores")
        if self._call.phase is Phase.ENDED:
            raise LocalProtocolError("the call is over")
        if at_once or self._call.phase is not Phase.UP:
            self._call.hang_up(reason, now=now)
        else:
            self._call.finish(reason, says_goodbye=says_goodbye, now=now)

    def start_recording(self, *, now: float) -> None:
        """Record both sides from now on, in a file of its own."""
        if self._call.phase is not Phase.UP:
            raise LocalProtocolError(f"the call is {self._call.phase.value}, not up")
        self._call.recording.start(now=now)

    def stop_recording(self, *, now: float) -> None:
        """Record no more, and complete the file."""
        self._call.recording.stop()
