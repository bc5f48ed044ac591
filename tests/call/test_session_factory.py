import json
from base64 import b64decode, b64encode
from random import Random

import numpy as np
import pytest

from sipagent.audio.linear import from_linear, to_linear
from sipagent.call.session_factory import make_session
from sipagent.formats import PCM, PCMA, PCMU, AudioFormat, pcm_at
from sipagent.realtime.dialects import OPENAI, PCM_ONLY, Dialect
from sipagent.realtime.events import AudioReceived, Send
from sipagent.realtime.model_session import ModelSession
from sipagent.realtime.settings import SessionSettings


def open_session(dialect: Dialect, audio_format: AudioFormat) -> tuple[ModelSession, AudioFormat]:
    """A session that is ready, and the format that it asked for."""
    settings = SessionSettings("m", dialect=dialect)
    session = make_session(settings, audio_format=audio_format, random=Random(1))
    session.open(now=0.0)
    session.receive_text('{"type":"session.created","session":{"id":"s"}}', now=0.0)
    (update,) = sent(session)
    asked = update["session"]["audio"]["input"]["format"]
    session.receive_text(json.dumps({"type": "session.updated", "session": update["session"]}), now=0.0)
    assert session.is_ready
    sent(session)
    formats = {(one.type, one.to_json().get("rate")): one for one in (PCMU, PCMA, PCM, pcm_at(16000))}
    return session, formats[asked["type"], asked.get("rate")]


def sent(session: ModelSession) -> list[dict[str, object]]:
    outputs = [session.poll() for _ in range(len(session.outputs))]
    return [json.loads(output.data) for output in outputs if isinstance(output, Send)]


def tone(rate: int, seconds: float = 0.4) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    time = np.arange(round(rate * seconds)) / rate
    return np.rint(8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


@pytest.mark.parametrize(
    ("dialect", "call", "expected"),
    [
        (OPENAI, PCMU, PCMU),
        (OPENAI, PCMA, PCMA),
        (OPENAI, PCM, PCM),
        (PCM_ONLY, PCMU, PCM),
        (PCM_ONLY, PCM, PCM),
    ],
)
def test_the_format_of_a_session(dialect: Dialect, call: AudioFormat, expected: AudioFormat) -> None:
    assert open_session(dialect, call)[1] == expected


@pytest.mark.parametrize("call", [PCMU, PCMA, PCM])
@pytest.mark.parametrize("rate", [16000, 24000])
def test_audio_is_converted_both_ways(call: AudioFormat, rate: int) -> None:
    dialect = Dialect("pcm", codecs=frozenset(), rate=rate, echoes_all=False)
    session, theirs = open_session(dialect, call)
    assert theirs.rate == rate
    audio = from_linear(tone(call.rate), call)
    for offset in range(0, len(audio), 20 * call.bytes_per_ms):
        session.append_audio(audio[offset : offset + 20 * call.bytes_per_ms])
    heard = to_linear(b"".join(b64decode(str(event["audio"])) for event in sent(session)), theirs)
    assert len(heard) == rate * 0.4  # 20 ms in are 20 ms out
    assert frequency(heard, rate) == pytest.approx(440, abs=3)
    assert abs(heard[rate // 10 :]).max() == pytest.approx(8000, rel=0.06)

    session.create_response(now=1.0)
    (create,) = sent(session)
    response = {"id": "r", "metadata": create["response"]["metadata"]}  # type: ignore[index]
    session.receive_text(json.dumps({"type": "response.created", "response": response}), now=1.0)
    said = from_linear(tone(rate), theirs)
    for offset in range(0, len(said), 1001):  # pieces that cut a sample in two
        delta = b64encode(said[offset : offset + 1001]).decode()
        event = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": delta}
        session.receive_text(json.dumps(event), now=1.0)
    received = [session.poll() for _ in range(len(session.outputs))]
    back = to_linear(b"".join(one.audio for one in received if isinstance(one, AudioReceived)), call)
    assert 0.4 - 0.003 <= len(back) / call.rate <= 0.4  # never more than the model sent, or a truncate would be wrong
    assert frequency(back, call.rate) == pytest.approx(440, abs=3)


def frequency(pcm: np.ndarray[tuple[int], np.dtype[np.int16]], rate: int) -> float:
    spectrum = abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 8 * rate))
    return float(np.argmax(spectrum)) / 8


def test_a_turn_is_counted_in_the_sessions_format() -> None:
    session, _ = open_session(Dialect("pcm", codecs=frozenset(), rate=16000, echoes_all=False), PCMU)
    session.append_audio(PCMU.silence_of(80))
    assert not session.commit()
    session.append_audio(PCMU.silence_of(20))
    assert session.commit()
