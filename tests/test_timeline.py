import json
import wave
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the picture of a call is drawn by matplotlib, the extra `plot`")

from sipagent import timeline
from sipagent.audio.tones import sine

PNG = b"\x89PNG\r\n\x1a\n"

FACTS: list[dict[str, Any]] = [
    {"at_s": -0.5, "kind": "Ringing", "status": 180},
    {"at_s": 0.0, "kind": "PickedUp", "after_ms": 10.0},
    {"at_s": 0.6, "kind": "AgentSaid", "text": "A long sentence that needs more than one row", "heard_ms": 500},
    {"at_s": 0.7, "kind": "LineSaid", "text": "costs $5_000 or $6^7, {really}?", "is_interruption": False},
    {"at_s": 0.8, "kind": "BargedIn", "onset_at": 5.0, "discarded_ms": 100},
    {"at_s": 0.8, "kind": "Truncated", "audio_end_ms": 500, "received_ms": 2000},
    {"at_s": 0.9, "kind": "ToolCalled", "name": "find", "arguments": "{}"},
    {"at_s": 0.9, "kind": "ToolReturned", "name": "find", "output": ""},
    {"at_s": 1.0, "kind": "DigitPressed", "digit": "#"},
    {"at_s": 1.1, "kind": "AgentSaid", "text": "", "heard_ms": 0},
]


def record(path: Path, seconds: float) -> None:
    samples = sine(440.0, 1000 * seconds)
    with wave.Wave_write(str(path)) as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.repeat(2).astype("<i2").tobytes())


@pytest.mark.parametrize("facts", [FACTS, []])
def test_a_picture_of_whatever_was_said(tmp_path: Path, facts: list[dict[str, Any]]) -> None:
    facts_file, recording, picture = tmp_path / "call.json", tmp_path / "call.wav", tmp_path / "call.png"
    facts_file.write_text(json.dumps(facts))
    record(recording, 1.5)
    assert timeline.main([str(facts_file), str(recording), str(picture)]) == 0
    assert picture.read_bytes().startswith(PNG)


def test_text_that_would_overlap_moves_down_a_line() -> None:
    written: list[tuple[float, float, str]] = []

    class Axes:
        def text(self, x: float, y: float, text: str, **_how: Any) -> None:
            written.append((x, y, text))

    row = timeline.Row(Axes(), 3.0, "black")  # type: ignore[arg-type]
    row.write(0.0, "ten letters", width=40)
    row.write(0.5, "beside", width=40)
    row.write(60.0, "far away", width=40)
    assert [y for _, y, _ in written] == [3.0, pytest.approx(3.0 - timeline.LINE_HEIGHT), 3.0]
