"""What the embedded model says: set phrases, answers to keys, tool calls; it remembers of itself what was heard."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import msgspec

from sipagent.realtime.local import phrases
from sipagent.realtime.local.tool_match import fill_arguments, find_tool, words_of

MAX_TEXT = 4000
"""Characters of a turn or an instruction that are looked at."""
MAX_RESULT = 600
"""Characters of a tool's result that are read out."""
SHORT_RESULT = 5
"""Words; so short a result is no sentence, and is read out with what was asked."""
MAX_NAMED_VALUE = 20
"""Characters of an argument that is worth naming."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HANG_UP = re.compile(r"hang_?up|end_?(the_?)?call", re.IGNORECASE)
"""A tool of such a name ends the call."""

_QUOTED = re.compile(r"[\"“”«»]([^\"“”«»]{2,})[\"“”«»]")
_SAY = re.compile(r"^\s*(?:please\s+)?say(?:[^:.]{0,40}:|\s+exactly\s)\s*(.+)$", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"\b(?:this is|we are|you are|welcome to|on behalf of)\s+((?:the\s+)?(?:[A-Z][\w'&-]*\s?)+)")
_PRESSED = re.compile(r"\bpress(?:ed|es)?\b[^0-9*#]*([0-9*#])", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_HOURS = re.compile(r"\b(open|opening|hours)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call a tool of the session."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


Step: TypeAlias = Say | Call


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing in the conversation, as the model remembers it.

    ``kind`` is ``system``, ``user``, ``assistant``, ``call`` or ``result``; ``name`` is the tool's for the last two;
    ``is_cut`` says that the caller interrupted, and ``text`` then ends where the caller stopped hearing.
    """

    kind: str
    text: str
    name: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that a brain may know when it is asked to respond."""

    instructions: str
    request: str | None
    """The instructions of this one response, when it has its own."""
    turns: Sequence[Turn]
    tools: Sequence[Mapping[str, Any]]
    tool_choice: Any
    time: datetime


class Thinker(Protocol):
    """What may stand in for :class:`Brain`."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """What the ear shall listen for."""

    def think(self, prompt: Prompt) -> Sequence[Step]:
        """What to say and do now; it may not raise, whatever is in the prompt."""


class Brain:
    """A book of phrases; it keeps nothing from one call to the next."""

    @property
    def phrases(self) -> tuple[str, ...]:
        """Every phrase of the book."""
        return tuple(phrases.PHRASES)

    def think(self, prompt: Prompt) -> Sequence[Step]:
        """Follow the request when there is one, else answer the last turn."""
        forced = _forced_tool(prompt)
        if forced is not None:
            return [Call(forced["name"], fill_arguments(forced, _last_text(prompt), _today(prompt)))]
        if prompt.request is not None:
            wanted = _follow(prompt.request[:MAX_TEXT], prompt)
            if wanted is not None:
                return wanted
        turns = [turn for turn in prompt.turns if turn.kind != "system"]
        if not turns or all(turn.kind == "assistant" for turn in turns):
            return _reply("greet", prompt)
        last = turns[-1]
        if last.kind == "result":
            return _report(last, turns)
        return _answer(_last_text(prompt), prompt)


def _answer(text: str, prompt: Prompt) -> Sequence[Step]:
    pressed = _PRESSED.search(text)
    if pressed is not None:
        intent = phrases.DIGITS.get(pressed.group(1))
        said = f"You pressed {_name_key(pressed.group(1))}. "
        steps = _reply(intent, prompt) if intent else [Say("That key has no meaning here. Press 0 for help.")]
        return _preface(said, steps)
    if not text.strip():
        return [Say(phrases.NOT_HEARD)]
    tool = find_tool(text, [t for t in _usable_tools(prompt) if not HANG_UP.fullmatch(t["name"])])
    if tool is not None:
        return [Say("One moment, please."), Call(tool["name"], fill_arguments(tool, text, _today(prompt)))]
    intent = understand(text)
    return _reply(intent, prompt) if intent else [Say(phrases.NOT_UNDERSTOOD)]


def understand(text: str) -> str | None:
    """The intent of a text: a set phrase, or the first set of keywords that is in it."""
    words = words_of(text)
    exact = phrases.PHRASES.get(" ".join(words))
    if exact is not None:
        return exact
    present = frozenset(words)
    return next((intent for keywords, intent in phrases.KEYWORDS if keywords <= present), None)


def _reply(intent: str, prompt: Prompt) -> Sequence[Step]:
    if intent in SPECIAL:
        return SPECIAL[intent](prompt)
    return [Say(FIXED[intent])]


def _say_time(prompt: Prompt) -> Sequence[Step]:
    hour = prompt.time.hour % 12 or 12
    return [Say(f"It is {hour}:{prompt.time.minute:02d} {'AM' if prompt.time.hour < 12 else 'PM'}.")]


def _say_hours(prompt: Prompt) -> Sequence[Step]:
    """The opening hours as the instructions give them: the sentence that speaks of them and has figures in it."""
    for match in _SENTENCE.finditer(prompt.instructions[:MAX_TEXT]):
        sentence = match.group().strip(" -*\t")
        if _HOURS.search(sentence) and any(character.isdigit() for character in sentence):
            return [Say(sentence)]
    return [Say(phrases.OPENING_HOURS)]


def _say_goodbye(prompt: Prompt) -> Sequence[Step]:
    tool = next((tool for tool in _usable_tools(prompt) if HANG_UP.fullmatch(tool["name"])), None)
    goodbye: list[Step] = [Say(phrases.GOODBYE)]
    return goodbye if tool is None else [*goodbye, Call(tool["name"], fill_arguments(tool, "The caller left.", ""))]


def _repeat(prompt: Prompt) -> Sequence[Step]:
    said = _last_said(prompt)
    if said is None:
        return [Say(phrases.NOTHING_SAID)]
    heard = _without_lead(said.text)
    return [Say(f"{phrases.REPEATING}{heard}{' And there you interrupted me.' if said.is_cut else ''}")]


def _go_on(prompt: Prompt) -> Sequence[Step]:
    """Take up the last text that was cut, from the end of what was heard of it."""
    cut = next((turn for turn in reversed(prompt.turns) if turn.kind == "assistant" and turn.is_cut), None)
    rest = _rest_after(_without_lead(cut.text), prompt) if cut is not None else ""
    return [Say(phrases.CONTINUING + rest)] if rest else [Say(phrases.NOTHING_TO_CONTINUE)]


def _take_up(prompt: Prompt) -> Sequence[Step]:
    """Go on in mid-sentence with what another session was saying; where it ended we can't tell, ask."""
    said = _last_said(prompt)
    rest = _rest_after(_without_lead(said.text.rstrip(" —")), prompt) if said is not None else ""
    return [Say(rest or phrases.LOST_THREAD)]


SPECIAL: Mapping[str, Callable[[Prompt], Sequence[Step]]] = {
    "time": _say_time,
    "opening_hours": _say_hours,
    "goodbye": _say_goodbye,
    "repeat": _repeat,
    "go_on": _go_on,
}
FIXED: Mapping[str, str] = {
    "greet": phrases.GREETING,
    "help": phrases.HELP,
    "story": phrases.STORY,
    "count_to_ten": phrases.COUNT_TO_TEN,
    "count_to_twenty": phrases.COUNT_TO_TWENTY,
    "identity": phrases.IDENTITY,
    "fine": phrases.FINE,
    "thanks": phrases.THANKS,
    "stop": phrases.STOPPED,
    "yes": phrases.YES,
    "no": phrases.NO,
}


def _follow(request: str, prompt: Prompt) -> Sequence[Step] | None:
    """Do what the response's own instructions ask: say what is in quotes or after "say:", greet, or take leave.

    What is wanted stands in their last paragraph: before it comes what holds for the whole call, where a caller may
    be quoted.
    """
    persona, _, wanted = request.rpartition("\n\n")
    quoted = _QUOTED.search(wanted)
    if quoted is not None:
        return [Say(quoted.group(1).strip())]
    say = _SAY.match(wanted)
    if say is not None:
        return [Say(say.group(1).strip())]
    words = frozenset(words_of(wanted))
    if words & {"greet", "greeting", "welcome", "hello"}:
        name = _NAME.search(wanted) or _NAME.search(persona.partition("\n\n")[0])
        greeting = f"Hello, this is {name.group(1).strip()}. {phrases.INTRODUCTION}" if name else phrases.GREETING
        return [Say(greeting)]
    if words >= {"cut", "go", "on"}:
        return _take_up(prompt)
    if words & {"goodbye", "farewell", "bye"}:
        return _reply("goodbye", prompt)
    return None


def _report(result: Turn, turns: Sequence[Turn]) -> Sequence[Step]:
    """Read a tool's result out, a short one with what was asked; of hanging up there is nothing left to say."""
    if HANG_UP.fullmatch(result.name):
        return []
    try:
        value = msgspec.json.decode(result.text[:MAX_TEXT])
    except (msgspec.DecodeError, RecursionError):
        value = result.text
    spoken = _speak_value(value)[:MAX_RESULT].strip()
    if isinstance(value, str) and 0 < len(spoken.split()) <= SHORT_RESULT and result.name:
        spoken = f"{_name_call(result.name, turns)}: {spoken.rstrip('.')}."
    return [Say(spoken or "That is done.")]


def _name_call(name: str, turns: Sequence[Turn]) -> str:
    """The tool's name in words, and the words it was last called with, such as ``Opening hours, friday``."""
    arguments = next((turn.text for turn in reversed(turns) if turn.kind == "call" and turn.name == name), "")
    try:
        given = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        given = None
    values = list(given.values()) if isinstance(given, dict) else []
    named = [value for value in values if isinstance(value, str) and 0 < len(value) <= MAX_NAMED_VALUE]
    return ", ".join([name.replace("_", " ").capitalize(), *named])


def _speak_value(value: Any) -> str:
    match value:
        case None | True:
            return "That is done."
        case False:
            return "That did not work."
        case dict() if isinstance(value.get("error"), str):
            return f"That did not work: {value['error']}"
        case dict():
            return ", ".join(f"{str(k).replace('_', ' ')}: {_flat(v)}" for k, v in value.items()) + "."
        case list():
            return ", ".join(_flat(one) for one in value) + "."
        case _:
            return str(value)


def _flat(value: Any) -> str:
    """A value inside another, in one level of words; what lies deeper is not read out."""
    match value:
        case dict():
            return f"{len(value)} details"
        case list():
            return ", ".join(str(one) for one in value if not isinstance(one, dict | list))
        case _:
            return str(value)


def _rest_after(heard: str, prompt: Prompt) -> str:
    """What follows ``heard`` in one of our long texts, found by its last words; first in those that were asked for."""
    tail = heard[-60:].strip()
    for text in (*_texts_asked_for(prompt), *phrases.LONG_TEXTS):
        position = text.rfind(tail) if tail else -1
        if position >= 0 and (heard in text or len(tail) >= 20):
            return text[position + len(tail) :].lstrip(" .,;:").rstrip()
    return ""


def _texts_asked_for(prompt: Prompt) -> list[str]:
    """The latest first: the counts to ten and to twenty begin alike."""
    asked = (understand(turn.text[:MAX_TEXT]) for turn in reversed(prompt.turns) if turn.kind == "user")
    return [FIXED[intent] for intent in asked if intent is not None and intent in FIXED]


def _without_lead(text: str) -> str:
    for lead in (phrases.CONTINUING, phrases.REPEATING):
        text = text.removeprefix(lead)
    return re.sub(r"^You pressed (\w+)\. ", "", text)


def _today(prompt: Prompt) -> str:
    """What goes without saying: that it is about today."""
    return f"today {WEEKDAYS[prompt.time.weekday()]}"


def _preface(lead: str, steps: Sequence[Step]) -> Sequence[Step]:
    first, *rest = steps
    return [Say(lead + first.text), *rest] if isinstance(first, Say) else [Say(lead), *steps]


def _name_key(key: str) -> str:
    return {"*": "star", "#": "hash"}.get(key, key)


def _last_text(prompt: Prompt) -> str:
    return next((turn.text for turn in reversed(prompt.turns) if turn.kind == "user"), "")[:MAX_TEXT]


def _last_said(prompt: Prompt) -> Turn | None:
    return next((turn for turn in reversed(prompt.turns) if turn.kind == "assistant" and turn.text), None)


def _usable_tools(prompt: Prompt) -> list[Mapping[str, Any]]:
    if prompt.tool_choice == "none":
        return []
    return [tool for tool in prompt.tools if tool.get("type") == "function"]


def _forced_tool(prompt: Prompt) -> Mapping[str, Any] | None:
    """The tool that ``tool_choice`` insists on, unless the last word was already a tool's result."""
    if prompt.tool_choice in ("auto", "none") or (prompt.turns and prompt.turns[-1].kind == "result"):
        return None
    tools = _usable_tools(prompt)
    if isinstance(prompt.tool_choice, Mapping):
        return next((tool for tool in tools if tool["name"] == prompt.tool_choice.get("name")), None)
    return find_tool(_last_text(prompt), tools) or next(iter(tools), None)
