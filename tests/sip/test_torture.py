"""Our own torture messages: ``torture/manifest.json`` says of each what is odd, the verdict, and what must be read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipagent.sip.framing import StreamFramer
from sipagent.sip.message import Message, MessageError, Request, Response, make_response, parse_message

DIRECTORY = Path(__file__).parent / "torture"
CASES: list[dict[str, Any]] = json.loads((DIRECTORY / "manifest.json").read_text())

ACCEPTED = [case for case in CASES if case["verdict"] == "accept"]
REFUSED = [case for case in CASES if case["verdict"] == "refuse"]

READERS: dict[str, Callable[[Any], object]] = {
    "call_id": lambda message: message.call_id,
    "content_type": lambda message: message.content_type,
    "supported": lambda message: message.supported,
    "contact": lambda message: message.contact and str(message.contact),
    "contacts": lambda message: [str(contact.uri) for contact in message.contacts],
    "body_length": lambda message: len(message.body),
    "from_tag": lambda message: message.from_.tag,
    "from_name": lambda message: message.from_.display_name,
    "from_uri": lambda message: str(message.from_.uri),
    "to_uri": lambda message: str(message.to.uri),
    "branch": lambda message: message.via.branch,
    "vias": lambda message: len(message.vias),
    "cseq": lambda message: [message.cseq.number, message.cseq.method],
    "max_forwards": lambda message: message.max_forwards,
    "uri": lambda message: str(message.uri),
    "status": lambda message: message.status,
    "reason": lambda message: message.reason,
}


def read(case: dict[str, Any]) -> bytes:
    return Path(DIRECTORY, case["file"]).read_bytes()


def check(message: Message, expected: dict[str, Any]) -> None:
    assert {name: READERS[name](message) for name in expected} == expected


def test_every_message_has_a_verdict() -> None:
    assert {case["file"] for case in CASES} == {path.name for path in DIRECTORY.glob("*.sip")}
    assert len(CASES) == len(ACCEPTED) + len(REFUSED) >= 20


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case["file"])
def test_accepted(case: dict[str, Any]) -> None:
    message = parse_message(read(case))
    check(message, case["expect"])
    check(parse_message(bytes(message)), case["expect"])


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case["file"])
def test_accepted_messages_go_over_a_stream(case: dict[str, Any]) -> None:
    data = bytes(parse_message(read(case)))
    framer = StreamFramer()
    whole = [message for at in range(0, len(data), 100) for message in framer.receive_data(data[at : at + 100])]
    assert whole == [data]


@pytest.mark.parametrize(
    "case", [case for case in ACCEPTED if "status" not in case["expect"]], ids=lambda case: case["file"]
)
def test_answers_carry_what_identifies_the_request(case: dict[str, Any]) -> None:
    request = parse_message(read(case))
    assert isinstance(request, Request)
    answer = parse_message(bytes(make_response(request, 200, to_tag="t")))
    assert isinstance(answer, Response)
    assert (answer.vias, answer.from_, answer.call_id, answer.cseq, answer.to.tag) == (
        request.vias,
        request.from_,
        request.call_id,
        request.cseq,
        "t",
    )


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["file"])
def test_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MessageError) as caught:
        parse_message(read(case))
    partial = caught.value.partial
    assert caught.value.status == case["status"]
    assert (partial is not None) == case["answered"]
    if partial is not None:
        answer = make_response(partial, case["status"], to_tag="t")
        assert bytes(answer).startswith(f"SIP/2.0 {case['status']} ".encode())
        assert answer.via == partial.via
