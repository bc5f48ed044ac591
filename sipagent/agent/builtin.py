"""The tools that every agent may have: to end the call, to hand it on, to have the caller wait, to press keys and to
ask for keys, to note something, and to take a message.

What they do is done by the call itself; only a message is kept by whoever is told to.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from sipagent.agent.tools import CallInfo, Tool, tool


@tool
def hang_up(reason: Annotated[str, "Why the call ends, in a few words, for the log."] = "") -> str:  # noqa: ARG001
    """End the phone call.

    Use it when the caller has said goodbye or has no more to ask. Say goodbye yourself before you use it: what you have
    said is played to its end, and nothing can be said after it.
    """
    return "The call ends after your last word."


HANG_UP: Final = hang_up

KEYS: Final = "0123456789*#ABCD"
DIGITS_MAX: Final = 64
"""In one go; the longest numbers people dial are half of that."""
WAIT_MAX_S: Final = 60.0
"""For the next key; whoever needs longer does not press one."""


@tool
def send_digits(
    digits: Annotated[str, Meta(description="The keys in order: 0 to 9, * and #.", pattern=r"^[0-9A-Da-d*# -]{1,64}$")],
) -> str:
    """Press keys of the telephone, as a caller would.

    Use it when you have called, and a machine asks for a key or a number. It hears tones, and not you.
    """
    return f"The keys {' '.join(digits)} are being pressed."


@tool
def collect_digits(
    max_digits: Annotated[int, Meta(description="So many digits are enough.", ge=1, le=DIGITS_MAX)] = DIGITS_MAX,
    terminator: Annotated[
        Literal["#", "*", "none"], Meta(description="The key that ends the number; it is not part of it.")
    ] = "#",
    timeout_s: Annotated[
        float, Meta(description="How long to wait for the next key, in seconds.", ge=1, le=WAIT_MAX_S)
    ] = 10.0,
    is_secret: Annotated[
        bool, "Whether it is the number of a card, a PIN or the like: then it is neither recorded nor written down."
    ] = False,
) -> str:
    """Wait for a number that the caller enters on the keypad of the telephone; you get its digits.

    Ask the caller for it first, and say which key ends it. What you have said is played to its end before the time
    begins to run.
    """
    return f"{max_digits} {terminator} {timeout_s} {is_secret}"


HOLD_MAX_S: Final = 600.0
"""Who waits longer has been forgotten."""


@tool
def hold(
    seconds: Annotated[float, Meta(description="How long at most, in seconds.", ge=1, le=HOLD_MAX_S)] = 60.0,
) -> str:
    """Have the caller wait; you don't speak meanwhile, and the caller may hear music.

    Use it when something takes its time, and say so first. The wait is over when the caller speaks or presses a key, or
    when the time is up; then you are told, and take the call up again. Another tool that you use together with this one
    ends the wait when its result is there.
    """
    return f"The caller waits for up to {seconds:g} s."


NOTE_MAX: Final = 2_000
"""Characters of a note."""


@tool
def note(
    text: Annotated[str, Meta(description="What is to be remembered, as one line.", min_length=1, max_length=NOTE_MAX)],
) -> str:
    """Write a line into the record of this call, for the people who read it afterwards.

    Use it for facts that matter after the call. The caller does not hear of it.
    """
    return f"Noted: {text}"


NOTED: Final = "It is noted. Go on with the conversation, and don't mention it."

TAKE_MESSAGE: Final = "take_message"
"""The name of the tool that takes a message."""

MESSAGE_KEPT: Final = "The message is kept, and will be passed on."
MESSAGE_MAX: Final = 4_000
"""Characters of a message: five minutes of talking."""


def make_take_message(keep: Callable[[CallInfo, str, str, str], None]) -> Tool:
    """Make the tool that takes a message.

    :param keep: is given the call, the name, the number and the text, in a thread of its own.
    """

    @tool
    def take_message(
        call: CallInfo,
        name: Annotated[str, Meta(description="Whom it is from.", min_length=1, max_length=200)],
        text: Annotated[
            str, Meta(description="The message, in the caller's words.", min_length=1, max_length=MESSAGE_MAX)
        ],
        number: Annotated[
            str,
            Meta(description="Where to call back; left out for the number that the caller calls from.", max_length=64),
        ] = "",
    ) -> str:
        """Take a message for somebody who is not there now.

        Ask for the name, the number to call back, and the message; read them back before you use this.
        """
        keep(call, name, number, text)
        return MESSAGE_KEPT

    return take_message


SEND_DIGITS: Final = send_digits
SECRET: Final = "is_secret"
"""The argument of ``collect_digits`` that says so."""
COLLECT_DIGITS: Final = collect_digits
KEY_TOOLS: Final = {each.name: each for each in (SEND_DIGITS, COLLECT_DIGITS)}

HOLD: Final = hold
NOTE: Final = note
CALL_TOOLS: Final = {each.name: each for each in (HOLD, NOTE)}
BARE_TOOLS: Final = {HANG_UP.name: HANG_UP, **KEY_TOOLS, **CALL_TOOLS}
"""The tools that need no settings."""

TRANSFER: Final = "transfer"
"""The name of the tool that hands the call on."""

TRANSFER_DESCRIPTION: Final = """Hand the phone call on to somebody else.

Use it when the caller wants to speak with a person or a department, or when you can't help. Tell the caller in the
same breath whom you are putting them through to: what you have said is played to its end first. When it succeeds you
are out of the call; when it does not, you are told why, and the caller is still with you."""

WHOM: Final = "Whom the call goes to."
WHOM_OR_NUMBER: Final = "Whom the call goes to: {names}or a telephone number that the caller asked for, in digits."
WHY: Final = "Why the call is handed on, in a few words, for the log."


def make_transfer(names: Iterable[str], *, allow_any: bool = False) -> Tool:
    """Make the tool that hands the call on; the model chooses among names and never learns the numbers behind them.

    :param names: of destinations, as a caller would say them.
    :param allow_any: whether a number will do as well; which numbers may be called is for others to judge.
    :raises TypeError: when there is nothing to choose from.
    """
    choices = tuple(names)
    if not choices and not allow_any:
        raise TypeError("the tool transfer needs destinations")

    def transfer(destination: str, reason: str = "") -> str:  # noqa: ARG001
        return f"The call goes to {destination}."

    listed: Any = Literal.__getitem__(choices) if choices else str
    whom = WHOM_OR_NUMBER.format(names="".join(f"{name}, " for name in choices))
    hint = Annotated[str, whom] if allow_any else Annotated[listed, WHOM]
    transfer.__annotations__ = {"destination": hint, "reason": Annotated[str, WHY], "return": str}
    return tool(name=TRANSFER, description=TRANSFER_DESCRIPTION)(transfer)


HAND_OVER: Final = "hand_over"
"""The name of the tool by which another agent takes over."""

HAND_OVER_DESCRIPTION: Final = """Let another agent go on with this call; the caller stays on the line.

Use it when the caller wants what another agent is there for. Tell the caller so in the same breath, in a few words.
Once it is done you are that agent."""


def make_hand_over(agents: Mapping[str, str]) -> Tool:
    """Make the tool by which another agent takes over.

    :param agents: what each is there for, by its name.
    :raises TypeError: when there is nobody.
    """
    if not agents:
        raise TypeError("the tool hand_over needs agents")

    def hand_over(agent: str, reason: str = "") -> str:  # noqa: ARG001
        return f"The agent {agent} takes over."

    listed: Any = Literal.__getitem__(tuple(agents))
    described = "; ".join(f"{name}: {words.rstrip('.;')}" if words else name for name, words in agents.items())
    whom = f"Who takes over. {described}."
    hand_over.__annotations__ = {"agent": Annotated[listed, whom], "reason": Annotated[str, FOR_WHOM], "return": str}
    return tool(name=HAND_OVER, description=HAND_OVER_DESCRIPTION)(hand_over)


FOR_WHOM: Final = "What the caller wants, in a few words, for the agent who takes over."
