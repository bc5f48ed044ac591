from dataclasses import replace
from typing import Any, Literal

import pytest

from sipagent.formats import PCMA
from sipagent.realtime.settings import ServerVad, SessionSettings, differences, session_object

SETTINGS = SessionSettings(model="gpt-realtime-2.1", instructions="Be kind.", transcription_model="gpt-live-transcribe")


def test_local_shape_is_the_recommended_one() -> None:
    assert session_object(SETTINGS) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be kind.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": None,
                "transcription": {"model": "gpt-live-transcribe"},
                "turn_detection": None,
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": 4096,
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
        "tracing": None,
    }


def test_server_turn_detection_is_sent_in_full() -> None:
    """The documented and the effective default of silence_duration_ms differ, and interrupt_response is true unsaid."""
    settings = replace(SETTINGS, turn_detection="server", server_vad=ServerVad(silence_duration_ms=700))
    assert session_object(settings)["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 700,
        "create_response": True,
        "interrupt_response": False,
    }


def test_the_judge_of_meaning_is_asked_by_its_own_fields() -> None:
    settings = replace(
        SETTINGS,
        turn_detection="server",
        server_vad=ServerVad("semantic_vad", silence_duration_ms=700, eagerness="low"),
    )
    assert session_object(settings)["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": False,
    }


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
def test_with_hybrid_detection_the_server_is_told_not_to_answer(kind: Literal["server_vad", "semantic_vad"]) -> None:
    settings = replace(SETTINGS, turn_detection="hybrid", server_vad=ServerVad(kind))
    detection = session_object(settings)["audio"]["input"]["turn_detection"]
    assert (detection["type"], detection["create_response"], detection["interrupt_response"]) == (kind, False, False)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("gpt-realtime-2", True),
        ("gpt-realtime-2.1", True),
        ("gpt-realtime-2.1-mini", True),
        ("gpt-realtime-2-2026-05-01", True),
        ("gpt-realtime", False),
        ("gpt-realtime-2025-08-28", False),
        ("gpt-realtime-mini-2025-10-06", False),
        ("my-gpt-realtime-2", False),
    ],
)
def test_pitfall_17_model_specific_fields(model: str, takes: bool) -> None:
    session = session_object(replace(SETTINGS, model=model, reasoning_effort="low", parallel_tool_calls=False))
    assert session.get("reasoning") == ({"effort": "low"} if takes else None)
    assert session.get("parallel_tool_calls") == (False if takes else None)


def test_reasoning_is_not_sent_unless_asked_for() -> None:
    assert not {"reasoning", "parallel_tool_calls"} & set(session_object(SETTINGS))


@pytest.mark.parametrize(
    ("model", "language", "expected"),
    [
        (None, "de", None),
        ("gpt-live-transcribe", "de", {"model": "gpt-live-transcribe", "languages": ["de"]}),
        ("gpt-transcribe", "de", {"model": "gpt-transcribe", "languages": ["de"]}),
        ("gpt-realtime-whisper", "de", {"model": "gpt-realtime-whisper", "language": "de"}),
        ("gpt-realtime-whisper", None, {"model": "gpt-realtime-whisper"}),
    ],
)
def test_pitfall_21_transcription_language(model: str | None, language: str | None, expected: Any) -> None:
    session = session_object(replace(SETTINGS, transcription_model=model, language=language))
    assert session["audio"]["input"]["transcription"] == expected


def test_pitfall_21_keywords_for_the_transcription_models_that_take_them() -> None:
    known = replace(SETTINGS, transcription_model="gpt-live-transcribe", keywords=("mainspring", "Harbour"))
    transcription = session_object(known)["audio"]["input"]["transcription"]
    assert transcription == {"model": "gpt-live-transcribe", "keywords": ["mainspring", "Harbour"]}
    other = replace(known, transcription_model="gpt-realtime-whisper")
    assert session_object(other)["audio"]["input"]["transcription"] == {"model": "gpt-realtime-whisper"}


def test_the_other_settings_are_sent() -> None:
    tool = {"type": "function", "name": "hang_up"}
    settings = replace(
        SETTINGS,
        audio_format=PCMA,
        voice="voice_abc",
        speed=1.2,
        noise_reduction="far_field",
        tools=(tool,),
        max_output_tokens="inf",
        retention_ratio=0.5,
    )
    session = session_object(settings)
    assert session["audio"]["input"]["format"] == session["audio"]["output"]["format"] == {"type": "audio/pcma"}
    assert session["audio"]["output"]["voice"] == {"id": "voice_abc"}
    assert session["audio"]["output"]["speed"] == 1.2
    assert session["audio"]["input"]["noise_reduction"] == {"type": "far_field"}
    assert session["tools"] == [tool]
    assert session["max_output_tokens"] == "inf"
    assert session["truncation"]["retention_ratio"] == 0.5


@pytest.mark.parametrize(
    "settings", [SETTINGS, replace(SETTINGS, turn_detection="server"), replace(SETTINGS, audio_format=PCMA)]
)
def test_an_exact_echo_differs_in_nothing(settings: SessionSettings) -> None:
    echo = session_object(settings) | {"id": "sess_1", "object": "realtime.session", "expires_at": 1}
    assert differences(settings, echo) == []


def test_a_missing_turn_detection_is_none() -> None:
    echo = session_object(SETTINGS)
    del echo["audio"]["input"]["turn_detection"]
    assert differences(SETTINGS, echo) == []


@pytest.mark.parametrize(
    ("turn_detection", "path", "value", "sentence"),
    [
        ("local", ("type",), "transcription", "session.type is 'transcription', not 'realtime'"),
        ("local", ("type",), None, "session.type is None, not 'realtime'"),
        (
            "local",
            ("audio", "input", "format"),
            {"type": "audio/pcm", "rate": 24000},
            "audio.input.format is 'audio/pcm', not 'audio/pcmu'",
        ),
        ("local", ("audio", "output", "format"), "g711", "audio.output.format is None, not 'audio/pcmu'"),
        (
            "local",
            ("audio", "input", "turn_detection"),
            {"type": "server_vad"},
            "audio.input.turn_detection is 'server_vad', not None",
        ),
        ("local", ("audio", "input", "turn_detection"), [[]], "audio.input.turn_detection is list, not None"),
        (
            "server",
            ("audio", "input", "turn_detection"),
            None,
            "audio.input.turn_detection is None, not 'server_vad'",
        ),
        (
            "server",
            ("audio", "input", "turn_detection", "interrupt_response"),
            True,
            "audio.input.turn_detection.interrupt_response is True, not False",
        ),
        (
            "server",
            ("audio", "input", "turn_detection", "type"),
            "semantic_vad",
            "audio.input.turn_detection.type is 'semantic_vad', not 'server_vad'",
        ),
    ],
)
def test_pitfall_06_and_19_each_difference_is_named(
    turn_detection: Any, path: tuple[str, ...], value: Any, sentence: str
) -> None:
    settings = replace(SETTINGS, turn_detection=turn_detection)
    echo = session_object(settings)
    echo["audio"]["output"] = dict(echo["audio"]["output"])
    parent = echo
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    assert differences(settings, echo) == [sentence]


@pytest.mark.parametrize("audio", [None, [], "x", {"input": 1, "output": None}, {"input": {"format": "audio/pcmu"}}])
def test_a_misshapen_echo_differs(audio: Any) -> None:
    assert len(differences(SETTINGS, {"type": "realtime", "audio": audio})) == 2
