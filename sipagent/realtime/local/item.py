"""One item of a conversation: a message, a function call, or its output; built from JSON, shown as JSON."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from sipagent.formats import AudioFormat
from sipagent.realtime.local import schema
from sipagent.realtime.local.wire import Json, missing, parse_audio

MAX_PARTS = 64
"""Content parts in one item; no client is known to send more than a few."""
MAX_TEXT = 1_000_000
"""Characters in one part; more than any context holds."""
MAX_ID = 128
"""Characters of an id that a client chooses."""
FIELDS = ("role", "name", "call_id", "arguments", "output")
"""What an item of one type or another has beside its content."""

_id = schema.text(MAX_ID)
_long = schema.text(MAX_TEXT)
_base = {"id": _id, **dict.fromkeys(("object", "status", "type", "phase"), schema.anything)}
_input_text = schema.mapping({"type": schema.anything, "text": _long}, required=("text",))
_input_audio = schema.mapping(
    {"type": schema.anything, "audio": schema.text(20 * 1024 * 1024), "transcript": schema.nullable(_long)},
    required=("audio",),
)
_input_image = schema.mapping(
    {"type": schema.anything, "image_url": schema.text(20 * 1024 * 1024), "detail": schema.anything},
    required=("image_url",),
)
_output_text = schema.mapping({"type": schema.anything, "text": _long}, required=("text",))


def _message(role: str, parts: dict[str, schema.Check]) -> schema.Check:
    content = schema.array(schema.tagged(parts), MAX_PARTS)
    return schema.mapping({**_base, "role": schema.choice(role), "content": content}, required=("role", "content"))


_by_role = schema.tagged(
    {
        "system": _message("system", {"input_text": _input_text}),
        "user": _message("user", {"input_text": _input_text, "input_audio": _input_audio, "input_image": _input_image}),
        "assistant": _message("assistant", {"output_text": _output_text}),
    },
    tag="role",
)
_check = schema.tagged(
    {
        "message": _by_role,
        "function_call": schema.mapping(
            {**_base, "name": _id, "call_id": _id, "arguments": _long}, required=("name", "arguments")
        ),
        "function_call_output": schema.mapping(
            {**_base, "call_id": _id, "output": _long}, required=("call_id", "output")
        ),
    }
)


@dataclass(slots=True)
class Part:
    """One part of a message's content, and what the model remembers of it.

    ``text`` is what the API shows: a text, or the transcript of audio, ``None`` where there is none. ``memory`` is
    what the model knows: of its own audio only the words that were not truncated, of the caller's what was heard.
    """

    type: str
    text: str | None = None
    memory: str = ""
    format: AudioFormat | None = None
    audio: bytearray = field(default_factory=bytearray)
    audio_bytes: int = 0
    """How long the audio is; it goes on counting when the audio itself is no longer kept."""
    is_truncated: bool = False
    is_awaited: bool = False
    """The ear has been asked and has not answered."""
    word_ends: list[tuple[int, int]] = field(default_factory=list)
    """(milliseconds, characters): by when so much of the text has been spoken; rising in both."""

    @property
    def audio_ms(self) -> int:
        """Whole milliseconds of audio."""
        return self.format.duration_ms(self.audio_bytes) if self.format else 0

    def extend(self, audio: bytes, keep: bool) -> None:
        """Add spoken audio; a truncated part grows no more."""
        if not self.is_truncated:
            self.audio_bytes += len(audio)
            if keep:
                self.audio += audio

    def add_words(self, text: str, end_ms: int) -> None:
        """Add the words that will have been spoken by ``end_ms``; a truncated part grows no more."""
        if not self.is_truncated:
            self.text = self.memory = (self.text or "") + text
            self.word_ends.append((end_ms, len(self.memory)))

    def truncate(self, end_ms: int) -> None:
        """Forget what comes after ``end_ms``; the API then shows no transcript, for it would say what was not heard."""
        assert self.format is not None
        position = bisect_right(self.word_ends, end_ms, key=lambda mark: mark[0])
        del self.word_ends[position:]
        self.memory = self.memory[: self.word_ends[-1][1] if self.word_ends else 0].rstrip()
        self.text = None
        self.is_truncated = True
        self.audio_bytes = min(self.audio_bytes, end_ms * self.format.bytes_per_ms)
        del self.audio[self.audio_bytes :]

    def to_json(self, with_audio: bool = False) -> Json:
        """The part as the API shows it; audio only when it was asked for and is still there."""
        if self.format is None:
            return {"type": self.type, "text": self.text or ""}
        shown: Json = {"type": self.type, "transcript": self.text}
        if with_audio and self.audio:
            shown["audio"] = bytes(self.audio)
        return shown


@dataclass(slots=True)
class Item:
    """An item; ``fields`` are those of its type: ``role``, or ``name``, ``call_id``, ``arguments``, ``output``."""

    id: str
    type: str
    status: str
    fields: dict[str, str]
    content: list[Part] = field(default_factory=list)

    def to_json(self, with_audio: bool = False) -> Json:
        """The item as the API shows it."""
        shown: Json = {"id": self.id, "object": "realtime.item", "type": self.type, "status": self.status}
        shown |= self.fields
        if self.type == "message":
            shown["content"] = [part.to_json(with_audio) for part in self.content]
        return shown

    @property
    def role(self) -> str:
        """Whose message it is; empty for what is no message."""
        return self.fields.get("role", "")

    @property
    def is_awaited(self) -> bool:
        """Whether the ear has yet to say what was spoken in it."""
        return any(part.is_awaited for part in self.content)

    @property
    def memory(self) -> str:
        """What the model remembers of the message."""
        return " ".join(part.memory for part in self.content if part.memory)


def parse_item(value: object, path: str, *, new_id: str, new_function_call_id: str, audio_format: AudioFormat) -> Item:
    """Build an item from a client's JSON; the new ids serve where it brings none.

    :param audio_format: of the audio it may carry.
    :raises RequestError: something in it is wrong.
    """
    if value is None:
        raise missing(path)
    checked: Json = _check(value, path)
    kind = checked["type"]
    if kind == "function_call":
        checked.setdefault("call_id", new_function_call_id)
    fields: dict[str, str] = {name: checked[name] for name in FIELDS if name in checked}
    content = [
        _parse_part(part, f"{path}.content[{n}]", audio_format) for n, part in enumerate(checked.get("content", []))
    ]
    return Item(checked.get("id") or new_id, kind, "completed", fields, content)


def _parse_part(value: dict[str, Any], path: str, audio_format: AudioFormat) -> Part:
    match value["type"]:
        case "input_audio":
            audio = parse_audio(value["audio"], f"{path}.audio")
            transcript = value.get("transcript")
            return Part("input_audio", transcript, transcript or "", audio_format, bytearray(audio), len(audio))
        case "input_image":
            return Part("input_image", "", "")
        case kind:
            return Part(kind, value["text"], value["text"])
