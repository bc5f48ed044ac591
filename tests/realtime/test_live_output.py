from typing import Any

import pytest

from sipagent.formats import PCM, PCMA, PCMU, AudioFormat
from sipagent.realtime.events import AgentTranscript, AudioDone, AudioReceived
from sipagent.realtime.live_output import END_MS, LEAD_IN_MS, LiveOutput

VOICE = b"\x0f\x8f" * 400
SILENCE = PCMU.silence_of(100)


class Heard:
    def __init__(self, audio_format: AudioFormat = PCMU, **settings: Any) -> None:
        self.outputs: list[Any] = []
        self.output = LiveOutput(self.outputs, audio_format, **settings)

    def receive(self, audio: bytes) -> list[Any]:
        has_sound = self.output.is_sound(audio)
        if has_sound or self.output.item_id:
            self.output.receive(audio, "r", has_sound=has_sound)
        taken = list(self.outputs)
        self.outputs.clear()
        return taken


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, PCM])
def test_zeros_are_silence_and_nothing_else_is(audio_format: AudioFormat) -> None:
    output = LiveOutput([], audio_format)
    assert not output.is_sound(audio_format.silence_of(100))
    assert output.is_sound(audio_format.silence_of(40) + b"\x10\x11" + audio_format.silence_of(40))


def test_silence_between_utterances_is_not_played() -> None:
    heard = Heard()
    assert heard.receive(SILENCE) == []
    lead_in = PCMU.silence_of(LEAD_IN_MS)
    assert heard.receive(VOICE) == [AudioReceived("utterance_1", 0, lead_in + VOICE, "r")]
    assert heard.receive(VOICE) == [AudioReceived("utterance_1", 0, VOICE, "r")]
    outputs = [heard.receive(SILENCE) for _ in range(END_MS // 100)]
    assert all(len(each) == 1 for each in outputs[:-1])  # a pause in mid-sentence is played as it is
    assert outputs[-1] == [AudioReceived("utterance_1", 0, SILENCE, "r"), AudioDone("utterance_1", 0)]
    assert heard.receive(SILENCE) == []
    assert heard.receive(VOICE)[0].item_id == "utterance_2"


def test_a_pause_that_is_short_enough_ends_nothing() -> None:
    heard = Heard()
    heard.receive(VOICE)
    for _ in range(3):
        for _ in range(END_MS // 100 - 1):
            heard.receive(SILENCE)
        assert heard.receive(VOICE) == [AudioReceived("utterance_1", 0, VOICE, "r")]


def test_words_that_come_early_belong_to_what_comes_next() -> None:
    heard = Heard()
    heard.output.receive_words("Hel")
    heard.output.receive_words("lo")
    assert heard.receive(VOICE)[0] == AgentTranscript("utterance_1", 0, "Hello", final=False)
    heard.output.receive_words(" you")
    assert heard.outputs.pop() == AgentTranscript("utterance_1", 0, " you", final=False)


def test_what_is_suppressed_is_suppressed_to_its_end() -> None:
    heard = Heard()
    heard.receive(VOICE)
    heard.output.suppress()
    heard.output.receive_words("unheard")
    assert heard.receive(VOICE) == []
    outputs = [event for _ in range(END_MS // 100) for event in heard.receive(SILENCE)]
    assert outputs == [AudioDone("utterance_1", 0)]
    assert isinstance(heard.receive(VOICE)[0], AudioReceived)


def test_suppressing_nothing_suppresses_nothing() -> None:
    heard = Heard()
    heard.output.suppress()
    assert isinstance(heard.receive(VOICE)[0], AudioReceived)


def test_it_is_converted_where_the_call_is_in_another_format() -> None:
    heard = Heard(outward=lambda audio: audio[::2])
    (received,) = heard.receive(VOICE)
    assert len(received.audio) == (LEAD_IN_MS * 8 + len(VOICE)) // 2
