import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench.flame import LOOP, Bar, Share, draw, share_out, threads

STACKS = [
    (["MainThread", "main (a.py)", LOOP, "tick (b.py)"], 0.2),
    (["MainThread", "main (a.py)", LOOP, "tick (b.py)", "C: socket.send(data)"], 0.3),
    (["MainThread", "main (a.py)", LOOP, "tick (b.py)", "tick (b.py)"], 0.1),
    (["MainThread", "main (a.py)", LOOP], 0.2),
    (["log", "write (c.py)", "C: os.write(1, b'<&>')"], 0.2),
]


@pytest.fixture
def root(tmp_path: Path) -> Bar:
    samples = tmp_path / "samples.json"
    samples.write_text(json.dumps({"ticks": 5, "stacks": STACKS}))
    return Bar.read(samples)


def test_stacks_are_put_together_from_the_event_loop_on(root: Bar) -> None:
    main = root.under["MainThread"]
    assert root.total_s == pytest.approx(1.0)
    assert list(main.under) == ["event loop"]
    assert main.total_s == pytest.approx(0.8)
    assert threads(root) == {"MainThread": pytest.approx(0.8), "log": pytest.approx(0.2)}


def test_own_and_total_time_of_each_function(root: Bar) -> None:
    """What is taken in C is its caller's own, and a function that calls itself is counted once."""
    tick, *others = share_out(root)
    assert tick == Share("tick (b.py)", pytest.approx(0.6), pytest.approx(0.3), pytest.approx(0.6))
    shares = {share.function: share for share in others}
    assert shares["write (c.py)"] == Share("write (c.py)", *[pytest.approx(0.2)] * 3)
    assert shares["event loop"] == Share("event loop", pytest.approx(0.2), 0.0, pytest.approx(0.8))
    assert sum(share.own for share in (tick, *others)) == pytest.approx(1.0)


def test_the_graph_shows_every_bar_where_it_belongs(root: Bar) -> None:
    graph = ElementTree.fromstring(draw(root, title="A & B"))
    namespace = "{http://www.w3.org/2000/svg}"
    bars = {bar.findtext(f"{namespace}text"): bar for bar in graph.iter(f"{namespace}svg") if bar.get("class") == "f"}
    assert len(bars) == 8  # nine, and two of one name
    main, log, send = bars["MainThread"], bars["log"], bars["C: os.write(1, b'<&>')"]
    assert float(main.attrib["width"]) == pytest.approx(4 * float(log.attrib["width"]), rel=0.01)
    assert float(send.attrib["x"]) == float(log.attrib["x"])
    assert float(send.attrib["y"]) < float(log.attrib["y"])
    assert "20.0%" in (send.findtext(f"{namespace}title") or "")
