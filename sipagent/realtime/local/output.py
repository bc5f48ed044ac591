"""What a response puts out: a spoken message, a written one, a function call; each begins, steps, and is finished."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import msgspec

from sipagent.formats import AudioFormat
from sipagent.realtime.local.conversation import Conversation
from sipagent.realtime.local.events import RenderSpeech
from sipagent.realtime.local.item import Item, Part
from sipagent.realtime.local.speech import Speech
from sipagent.realtime.local.wire import Channel, Json

TEXT_STEP_S = 0.02
"""Between two deltas of written text or of a call's arguments; a fast model's pace."""
WORDS_PER_DELTA = 4
ARGUMENTS_PER_DELTA = 16
"""Characters."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a response puts its output: the channel, the conversation unless it is out of band, and how it sounds."""

    channel: Channel
    conversation: Conversation | None
    response_id: str
    format: AudioFormat
    voice: str
    speed: float
    delta_ms: int
    pace: float

    def open(self, item: Item, index: int) -> None:
        """Announce an item, and put it into the conversation."""
        self.channel.send(
            "response.output_item.added", response_id=self.response_id, output_index=index, item=item.to_json()
        )
        if self.conversation is not None:
            previous = self.conversation.insert(item)
            self.channel.send("conversation.item.added", previous_item_id=previous, item=item.to_json())

    def close(self, item: Item, index: int, status: str) -> None:
        """Announce that an item is done, with its final status."""
        item.status = status
        shown = item.to_json()
        self.channel.send("response.output_item.done", response_id=self.response_id, output_index=index, item=shown)
        if self.conversation is not None:
            previous = self.conversation.previous_id(item.id)
            self.channel.send("conversation.item.done", previous_item_id=previous, item=shown)


class Output(Protocol):
    """One output item in the making."""

    item: Item

    def begin(self, index: int) -> None:
        """Announce it as the ``index``-th output of its response."""

    def step(self) -> float | None:
        """Send the next delta; the seconds until the one after it, or ``None``: speech is awaited."""

    @property
    def is_finished(self) -> bool:
        """Whether all of it has been sent."""

    def finish(self, status: str) -> None:
        """Send the closing events; ``status`` is ``completed`` or ``incomplete``."""


class AudioMessage:
    """A message that is spoken: its words and its audio go out side by side."""

    def __init__(self, stage: Stage, text: str) -> None:
        self.item = _make_message(stage, Part("output_audio", "", format=stage.format))
        self._stage = stage
        self._speech = Speech(text, stage.format)
        self._requests: dict[int, int] = {}
        self._place: Json = {}

    def prepare(self) -> None:
        """Ask for the first sentences to be rendered."""
        while (sentence := self._speech.next_sentence()) is not None:
            request_id = self._stage.channel.make_request_id()
            self._requests[request_id] = sentence[0]
            stage = self._stage
            stage.channel.push(RenderSpeech(request_id, sentence[1], stage.voice, stage.speed, stage.format))

    def begin(self, index: int) -> None:
        """Announce the item and its one content part."""
        self._place = _open_message(self._stage, self.item, index)
        self._stage.channel.send("response.content_part.added", **self._place, part={"type": "audio", "transcript": ""})

    def step(self) -> float | None:
        """Send the words that begin in the next delta, and the delta."""
        self.prepare()
        piece = self._speech.take(self._stage.delta_ms * self._stage.format.bytes_per_ms)
        if piece is None:
            return None
        part = self.item.content[0]
        for word, end_ms in piece.words:
            part.add_words(word, end_ms)
        send = self._stage.channel.send
        if piece.words:
            send("response.output_audio_transcript.delta", **self._place, delta="".join(w for w, _ in piece.words))
        if piece.audio:
            part.extend(piece.audio, keep=self._stage.conversation is not None)
            send("response.output_audio.delta", **self._place, delta=piece.audio)
        return self._stage.format.duration_ms(len(piece.audio)) / 1000 / self._stage.pace

    @property
    def is_finished(self) -> bool:
        """Whether the last delta is out."""
        return self._speech.is_finished

    def finish(self, status: str) -> None:
        """Send the closing events."""
        transcript = self.item.content[0].text or ""
        send = self._stage.channel.send
        send("response.output_audio.done", **self._place)
        send("response.output_audio_transcript.done", **self._place, transcript=transcript)
        send("response.content_part.done", **self._place, part={"type": "audio", "transcript": transcript})
        self._stage.close(self.item, self._place["output_index"], status)

    def receive_speech(self, request_id: int, audio: bytes) -> bool:
        """Take the rendering of a sentence; ``False`` when it was not asked for here."""
        index = self._requests.pop(request_id, None)
        if index is None:
            return False
        self._speech.receive(index, audio)
        self.prepare()
        return True


class TextMessage:
    """A message in writing, for ``output_modalities: ["text"]``."""

    def __init__(self, stage: Stage, text: str) -> None:
        self.item = _make_message(stage, Part("output_text", ""))
        self._stage = stage
        words = text.split(" ")
        groups = [words[n : n + WORDS_PER_DELTA] for n in range(0, len(words), WORDS_PER_DELTA)]
        self._deltas = deque(" ".join(group) + " " * (group is not groups[-1]) for group in groups)
        self._place: Json = {}

    def begin(self, index: int) -> None:
        """Announce the item and its one content part."""
        self._place = _open_message(self._stage, self.item, index)
        self._stage.channel.send("response.content_part.added", **self._place, part={"type": "text", "text": ""})

    def step(self) -> float | None:
        """Send a few words."""
        delta = self._deltas.popleft()
        part = self.item.content[0]
        part.text = part.memory = part.memory + delta
        self._stage.channel.send("response.output_text.delta", **self._place, delta=delta)
        return TEXT_STEP_S

    @property
    def is_finished(self) -> bool:
        """Whether the last words are out."""
        return not self._deltas

    def finish(self, status: str) -> None:
        """Send the closing events."""
        text = self.item.content[0].memory
        self._stage.channel.send("response.output_text.done", **self._place, text=text)
        self._stage.channel.send("response.content_part.done", **self._place, part={"type": "text", "text": text})
        self._stage.close(self.item, self._place["output_index"], status)


class FunctionCall:
    """A call of one of the client's tools; the arguments come in pieces, and a cancelled call stays incomplete."""

    def __init__(self, stage: Stage, name: str, arguments: Json) -> None:
        text = msgspec.json.encode(arguments).decode()
        fields = {"name": name, "call_id": stage.channel.make_id("call"), "arguments": ""}
        self.item = Item(stage.channel.make_id("item"), "function_call", "in_progress", fields)
        self._stage = stage
        self._deltas = deque(text[n : n + ARGUMENTS_PER_DELTA] for n in range(0, len(text), ARGUMENTS_PER_DELTA))
        self._place: Json = {}

    def begin(self, index: int) -> None:
        """Announce the item."""
        self._stage.open(self.item, index)
        self._place = {
            "response_id": self._stage.response_id,
            "item_id": self.item.id,
            "output_index": index,
            "call_id": self.item.fields["call_id"],
        }

    def step(self) -> float | None:
        """Send a piece of the arguments."""
        delta = self._deltas.popleft()
        self.item.fields["arguments"] += delta
        self._stage.channel.send("response.function_call_arguments.delta", **self._place, delta=delta)
        return TEXT_STEP_S

    @property
    def is_finished(self) -> bool:
        """Whether the arguments are whole."""
        return not self._deltas

    def finish(self, status: str) -> None:
        """Send the closing events; they come for a cancelled call as well, and only the status tells."""
        name, arguments = self.item.fields["name"], self.item.fields["arguments"]
        done = "response.function_call_arguments.done"
        self._stage.channel.send(done, **self._place, name=name, arguments=arguments)
        self._stage.close(self.item, self._place["output_index"], status)


def _make_message(stage: Stage, part: Part) -> Item:
    return Item(stage.channel.make_id("item"), "message", "in_progress", {"role": "assistant"}, [part])


def _open_message(stage: Stage, item: Item, index: int) -> Json:
    """Announce a message, which as yet has no content; gives the fields that say where its deltas belong."""
    parts, item.content = item.content, []
    stage.open(item, index)
    item.content = parts
    return {"response_id": stage.response_id, "item_id": item.id, "output_index": index, "content_index": 0}
