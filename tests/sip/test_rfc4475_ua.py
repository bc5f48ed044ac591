"""The torture messages of RFC 4475, each fed to a user agent over UDP: the answer is the one the manifest lists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any
from zipfile import ZipFile

import pytest
from sip.peers import Endpoint

from sipagent.sip.core import ALLOW
from sipagent.sip.events import Flow, IncomingInvite, Transmit

CALLER = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060))
TIME_LIMIT_S = 0.1

ANSWERS: dict[str, str] = {
    "badaspec": "400", "badbranch": "400", "baddate": "call", "baddn": "400", "badinv01": "", "badvers": "505",
    "bcast": "", "bext01": "420", "bigcode": "", "clerr": "400", "cparam01": "405", "cparam02": "405",
    "dblreq": "405", "esc01": "call", "esc02": "501", "escnull": "405", "escruri": "400", "insuf": "400",
    "intmeth": "501", "inv2543": "call", "invut": "415", "longreq": "call", "ltgtruri": "400", "lwsdisp": "200",
    "lwsruri": "400", "lwsstart": "400", "mcl01": "400", "mismatch01": "400", "mismatch02": "400", "mpart01": "405",
    "multi01": "400", "ncl": "400", "noreason": "", "novelsc": "416", "quotbal": "400", "regaut01": "405",
    "regbadct": "400", "regescrt": "405", "scalar02": "400", "scalarlg": "", "sdp01": "406", "semiuri": "200",
    "test": "", "transports": "200", "trws": "400", "unkscm": "416", "unksm2": "405", "unreason": "", "wsinv": "481",
    "zeromf": "200",
}  # fmt: skip
"""What we answer: a status, nothing, or a call; each within what the manifest allows."""


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, dict[str, Any]]:
    manifest = json.loads((corpora / "rfc4475" / "manifest.json").read_text("utf-8"))
    return {case["file"].removesuffix(".dat"): case for case in manifest["cases"]}


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


def allowed(case: dict[str, Any]) -> set[str]:
    """Every verdict that the manifest's words allow over UDP."""
    words = " ".join([case["endpoint"].split("; TCP")[0], *case["also_ok"]])
    found = set(re.findall(r"\b[1-6][0-9]{2}\b", words))
    if "drop" in words or case["kind"] == "response":
        found.add("")
    if re.search(r"accept|2xx|parse OK|RFC2543", words):
        found |= {"200", "call"}
    return found


def test_every_message_has_a_listed_verdict(cases: dict[str, dict[str, Any]]) -> None:
    assert set(cases) == set(ANSWERS)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_the_answer(name: str, cases: dict[str, dict[str, Any]], corpora: Path) -> None:
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
def test_what_the_answer_adds(name: str, header: bytes, cases: dict[str, Any], corpora: Path) -> None:
    _, sent, _ = feed((corpora / "rfc4475" / cases[name]["file"]).read_bytes())
    assert header in sent[0].data


def test_a_long_tag_comes_back_whole(cases: dict[str, Any], corpora: Path) -> None:
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
