"""The report: what is written, and what is kept of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from sipagent.bench import records
from sipagent.bench.page import BEGIN, END, hand_written, machine_line, write_page
from sipagent.bench.steps import Step

MACHINE = {
    "processor": "Some Processor", "processors": 4, "available": 2, "memory_gb": 8.0, "system": "Linux 6.1",
    "python": "CPython 3.11.7", "packages": {"uvloop": "0.22"},
}  # fmt: skip


def capacity() -> dict[str, Any]:
    figures = {"cpu_percent": 0.1234, "ratio_to_limit": 2.5, "ratio_spread": 0.1, "lost": 0, "late": 3}
    good = Step(50, True, figures).as_data()
    bad = Step(100, False, figures, ("3 of 9 packets late",), ("callers were late",)).as_data()
    return {
        "ok": False,
        "runs": 3,
        "limit_in": "C",
        "limits": {"50": {"us": 500.0, "spread_us": 9.0, "count": 3}},
        "verdict": [
            {"what": "CPU", "calls": 300, "sense": "at most", "bar": 0.12, "unit": "%", "value": None, "is_met": None},
            {"what": "knee", "calls": None, "sense": "at least", "bar": 750, "unit": "", "value": 50, "is_met": False},
        ],
        "loads": [{"title": "plain, energy", "knee": 50, "knee_is_open": False, "steps": [good, bad]}],
        "machine": MACHINE,
    }


def test_a_page_holds_every_step_and_names_the_machine(tmp_path: Path) -> None:
    page = write_page({"capacity": capacity()}, tmp_path / "none.md", picture="performance.png")
    assert "| 50 | 0.123 | 2.50 ± 0.10 | – |" in page
    assert "Some Processor, 2 of 4 cores, 8 GB" in page
    assert "medians of 3 runs" in page
    assert "### plain, energy: 50 clean calls" in page
    assert "- 100 calls, not clean: 3 of 9 packets late" in page
    assert "- 100 calls, in doubt: callers were late" in page
    assert "| CPU, 300 calls | – | at most 0.12 % | not measured |" in page
    assert "| knee | 50 | at least 750  | **no** |" in page
    assert "](performance.png)" in page


def test_what_was_written_by_hand_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text(write_page({}, path, picture=None).replace(BEGIN, f"{BEGIN}\nuvloop: 1,330 to 370 µs"))
    page = write_page({"capacity": capacity()}, path, picture=None)
    assert f"{BEGIN}\nuvloop: 1,330 to 370 µs\n\n{END}" in page
    assert page.count(BEGIN) == page.count(END) == 1
    assert "![" not in page


def test_a_page_without_marks_has_an_empty_part() -> None:
    assert hand_written("words").split() == [*BEGIN.split(), *END.split()]
    assert hand_written(f"{BEGIN} unfinished").split() == [*BEGIN.split(), *END.split()]


def test_a_command_leaves_alone_what_others_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path / "build")
    monkeypatch.setattr(records, "RECORD", tmp_path / "build" / "bench.json")
    records.keep("soak", {"ok": True})
    records.keep("setup", {"ok": False})
    records.keep("soak", {"ok": False})
    record = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert {part: found["ok"] for part, found in record.items()} == {"soak": False, "setup": False}
    assert record["soak"]["machine"]["processors"] >= 1


def test_a_record_of_another_kind_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECORD", tmp_path / "bench.json")
    assert records.read_record() == {}
    (tmp_path / "bench.json").write_text('{"loads": []}')
    assert records.read_record() == {}
    (tmp_path / "bench.json").write_text("[")
    assert records.read_record() == {}


def test_who_lacks_the_extra_is_told_and_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    monkeypatch.setattr(records, "RECORD", tmp_path / "bench.json")
    monkeypatch.setattr(records, "draw", lambda _picture: False)
    (tmp_path / "bench.json").write_text("{}")
    assert records.publish(page) == str(page)  # the ramp alone has a picture
    (tmp_path / "bench.json").write_text(json.dumps({"capacity": capacity()}))
    assert "pip install 'sipagent[plot]'" in records.publish(page)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    plot = pytest.importorskip("sipagent.bench.plot", reason="matplotlib draws the picture, the extra `plot`")
    figures = {"cpu_percent": 0.1, "deviation_p99_ms": 1.0, "deviation_p999_ms": 2.0, "uplink_p99_ms": 1.0}
    load = {"title": "plain", "steps": [Step(50, True, figures).as_data(), Step(90, False, figures).as_data()]}
    plot.draw({**capacity(), "loads": [load]}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("runs", "said"), [(1, "; a single run"), (3, "; medians of 3 runs")])
def test_it_is_said_how_often_it_was_measured(runs: int, said: str) -> None:
    assert said in machine_line({**capacity(), "runs": runs})
