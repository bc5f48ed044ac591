"""The torture messages of RFC 4475, each fed to a user agent over UDP: the answer is the one the manifest lists."""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from zipfile import ZipFile

import pytest
from sip.peers import Endpoint
from sip.rfc4475 import ANSWERS, Case, allowed, load_cases

from sipagent.sip.core import ALLOW
from sipagent.sip.events import Flow, IncomingInvite, Transmit

CALLER = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060))
TIME_LIMIT_S = 0.1

@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Case]:
    return load_cases(corpora)


def feed(data: bytes) -> tuple[str, list[Transmit], Endpoint]:
    bob = Endpoint(("192.0.2.2", 5060))
    start = perf_counter()
    bob.agent.receive_datagram(data, CALLER, now=0.0)
    assert perf_counter() - start < TIME_LIMIT_S
    sent = bob.drain()
    statuses = [transmit.data.split(b" ")[1].decode() for transmit in sent]
    if any(isinstance(event, IncomingInvite) for event in bob.events):
        assert statuses == ["100"]
        return "call", sent, bob
    assert len(statuses) <= 1
    return "".join(statuses), sent, bob


def test_every_message_has_a_listed_verdict(cases: dict[str, Case]) -> None:
    assert set(cases) == set(ANSWERS)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_the_answer(name: str, cases: dict[str, Case], corpora: Path) -> None:
    answer, sent, bob = feed((corpora / "rfc4475" / cases[name]["file"]).read_bytes())
    assert answer == ANSWERS[name]
    assert answer in allowed(cases[name])
    for transmit in sent:
        assert transmit.flow == CALLER
    if answer == "call":
        bob.agent.hang_up(1, now=0.0)
        bob.drain()
    bob.advance(100.0)
    bob.assert_clean()


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("bext01", b"Unsupported: nothingSupportsThis, nothingSupportsThisEither\r\n"),
        ("invut", b"Accept: application/sdp\r\n"),
        ("intmeth", f"Allow: {ALLOW}\r\n".encode()),
        ("sdp01", b"Warning: 399 "),
    ],
)
def test_what_the_answer_adds(name: str, header: bytes, cases: dict[str, Case], corpora: Path) -> None:
    _, sent, _ = feed((corpora / "rfc4475" / cases[name]["file"]).read_bytes())
    assert header in sent[0].data


def test_a_long_tag_comes_back_whole(cases: dict[str, Case], corpora: Path) -> None:
    data = (corpora / "rfc4475" / cases["longreq"]["file"]).read_bytes()
    _, sent, _ = feed(data)
    line = next(line for line in data.split(b"\r\n") if line.startswith(b"F:"))
    assert line.removeprefix(b"F:").strip() in sent[0].data


def fuzz_seeds(directory: Path) -> Iterator[bytes]:
    for path in sorted((directory / "sipgo").iterdir()):
        yield path.read_bytes()
    for name in ("fuzz-sip_seed_corpus", "fuzz-sip-dialog_seed_corpus", "sip-corpus"):
        with ZipFile(directory / f"{name}.zip") as archive:
            for entry in archive.infolist():
                yield archive.read(entry)


def test_other_peoples_fuzz_seeds_raise_nothing_and_leave_nothing(corpora: Path) -> None:
    bob = Endpoint(("192.0.2.2", 5060))
    stream = Flow("TCP", ("192.0.2.1", 9), CALLER.local)
    for data in fuzz_seeds(corpora / "fuzz_seeds"):
        bob.agent.receive_datagram(data, CALLER, now=0.0)
        bob.agent.receive_message(data, stream, now=0.0)
        bob.drain()
    assert bob.agent.counters.total() > 0
    bob.advance(1000.0)
    bob.assert_clean()
