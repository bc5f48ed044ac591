"""The torture messages of RFC 4475, at the level of the parser: who is refused, and what the others say."""

import json
from pathlib import Path

import pytest

from sipagent.sip.headers import CSeq
from sipagent.sip.message import Message, MessageError, Request, Response, make_response, parse_message
from sipagent.sip.uri import Uri

VALID = [
    "wsinv", "intmeth", "esc01", "escnull", "esc02", "lwsdisp", "longreq", "dblreq", "semiuri", "transports",
    "mpart01", "unreason", "noreason",
]  # fmt: skip
"""Section 3.1.1."""

INVALID = {
    "badinv01": None, "clerr": 400, "ncl": 400, "scalar02": 400, "scalarlg": None, "quotbal": 400, "ltgtruri": 400,
    "lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400, "regbadct": 400, "badaspec": 400, "baddn": 400,
    "badvers": 505, "mismatch01": 400, "mismatch02": 400, "bigcode": None,
}  # fmt: skip
"""Section 3.1.2 but ``baddate``: the status they deserve; ``None``: nothing is sent back."""

REFUSED_LATER = {"badbranch": 400, "insuf": 400, "multi01": 400, "mcl01": 400}
"""Sections 3.2 and 3.3, where the syntax decides."""

LEFT_TO_THE_APPLICATION = [
    "baddate", "unkscm", "novelsc", "unksm2", "bext01", "invut", "regaut01", "bcast", "zeromf", "cparam01", "cparam02",
    "regescrt", "sdp01", "inv2543",
]  # fmt: skip


@pytest.fixture
def directory(corpora: Path) -> Path:
    return corpora / "rfc4475"


def request_of(directory: Path, name: str) -> Request:
    message = parse_message((directory / f"{name}.dat").read_bytes())
    assert isinstance(message, Request)
    return message


def test_every_message_of_the_rfc_has_a_verdict_here(directory: Path) -> None:
    names = {case["file"] for case in json.loads((directory / "manifest.json").read_text())["cases"]}
    ours = {f"{name}.dat" for name in (*VALID, *INVALID, *REFUSED_LATER, *LEFT_TO_THE_APPLICATION)}
    assert len(ours) == 49
    assert names == ours | {"test.dat"}


@pytest.mark.parametrize("name", VALID + LEFT_TO_THE_APPLICATION)
def test_accepted(directory: Path, name: str) -> None:
    message = parse_message((directory / f"{name}.dat").read_bytes())
    again = parse_message(bytes(message))
    assert (again.vias, again.from_, again.to, again.contacts) == (
        message.vias,
        message.from_,
        message.to,
        message.contacts,
    )
    assert (again.call_id, again.cseq, again.body) == (message.call_id, message.cseq, message.body)
    if isinstance(message, Request):
        response = make_response(message, 200, to_tag="t")
        answered = parse_message(bytes(response))
        assert (answered.vias, answered.from_, answered.cseq) == (message.vias, message.from_, message.cseq)


@pytest.mark.parametrize(("name", "status"), (INVALID | REFUSED_LATER).items())
def test_refused(directory: Path, name: str, status: int | None) -> None:
    with pytest.raises(MessageError) as caught:
        parse_message((directory / f"{name}.dat").read_bytes())
    partial = caught.value.partial
    if status is None:
        assert partial is None
        return
    assert caught.value.status == status
    assert partial is not None
    assert make_response(partial, status, to_tag="t").via == partial.via


def test_the_stray_file_is_refused(directory: Path) -> None:
    with pytest.raises(MessageError):
        parse_message((directory / "test.dat").read_bytes())


def test_wsinv(directory: Path) -> None:
    message = request_of(directory, "wsinv")
    assert str(message.uri) == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert (str(message.to.uri), message.to.tag) == ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
    assert (message.from_.display_name, message.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert (message.max_forwards, message.cseq) == (68, CSeq(9, "INVITE"))
    assert [(via.transport, via.host, via.branch) for via in message.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.headers.get("Subject") == ""
    assert message.contact is not None
    assert message.contact.display_name == 'Quoted string ""'
    assert message.contact.parameters.pairs == (("newparam", "newvalue"), ("secondparam", None), ("q", "0.33"))
    assert len(message.body) == 150


def test_intmeth(directory: Path) -> None:
    message = request_of(directory, "intmeth")
    assert message.method == message.cseq.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.to.display_name == "BEL:\a NUL:\ufffd DEL:\x7f"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert (
        message.from_.parameters["fromParam''~+*_!.-%"]
        == "\u0440\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0439"
    )
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"


def test_escapes(directory: Path) -> None:
    message = request_of(directory, "esc01")
    assert message.uri.user == "sips:user@example.com"
    assert message.to.uri.user == "user"
    assert message.from_.uri.user == "I have spaces"
    assert message.contact is not None
    assert message.contact.uri.user == "caller"
    assert message.contact.uri.parameters.pairs == (("lr", None), ("name", "value%41"))
    users = [contact.uri.user for contact in request_of(directory, "escnull").contacts]
    assert users == ["\0", "\0\0"]
    message = request_of(directory, "esc02")
    assert message.method == "RE%47IST%45R"
    assert message.from_.display_name == "%Z%45"
    assert message.via.branch == "z9hG4bK209%fzsnel234"
    assert len(message.contacts) == 2


def test_other_values(directory: Path) -> None:
    assert request_of(directory, "lwsdisp").from_.display_name == "caller"
    assert request_of(directory, "semiuri").uri.user == "user;par=u@example.net"
    assert len(request_of(directory, "semiuri").headers.get_all("Accept")) == 6
    transports = [via.transport for via in request_of(directory, "transports").vias]
    assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    assert len(request_of(directory, "mpart01").body) == 553
    assert request_of(directory, "dblreq").method == "REGISTER"
    assert request_of(directory, "dblreq").body == b""


def test_a_long_request_is_kept_whole(directory: Path) -> None:
    message = request_of(directory, "longreq")
    assert len(message.vias) == 34
    assert message.vias[-1].branch is not None
    assert len(message.from_.tag or "") > 90
    assert message.to.tag is None
    assert message.call_id == f"longreq.one{'really' * 20}longcallid"


def test_reason_phrases(directory: Path) -> None:
    response = parse_message((directory / "unreason.dat").read_bytes())
    assert isinstance(response, Response)
    assert response.reason.startswith("= 2**3 * 5**2 \u043d\u043e ")
    response = parse_message((directory / "noreason.dat").read_bytes())
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (100, "")


def test_who_owns_a_parameter(directory: Path) -> None:
    bare, bracketed = request_of(directory, "cparam01").contact, request_of(directory, "cparam02").contact
    assert bare is not None
    assert bracketed is not None
    assert ("unknownparam" in bare.parameters, "unknownparam" in bare.uri.parameters) == (True, False)
    assert ("unknownparam" in bracketed.parameters, "unknownparam" in bracketed.uri.parameters) == (False, True)
    escaped = request_of(directory, "regescrt").contact
    assert escaped is not None
    assert escaped.uri.headers == (("Route", "<sip:sip.example.com>"),)


def test_schemes(directory: Path) -> None:
    assert request_of(directory, "unkscm").uri == Uri("nobodyknowsthisscheme", opaque="totallyopaquecontent")
    assert request_of(directory, "novelsc").uri.scheme == "soap.beep"
    message = request_of(directory, "unksm2")
    assert (message.to.uri.scheme, message.from_.uri.scheme) == ("isbn", "http")


def test_rfc_2543(directory: Path) -> None:
    message = request_of(directory, "inv2543")
    assert (message.via.branch, message.from_.tag, message.max_forwards) == (None, None, None)
    assert message.content("application/sdp") == message.body
    assert message.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n")


def test_cut_anywhere_they_raise_nothing_else(directory: Path) -> None:
    refused = 0
    for path in sorted(directory.glob("*.dat")):
        data = path.read_bytes()
        for at in range(0, len(data), 11):
            try:
                message: Message | None = parse_message(data[:at])
            except MessageError as error:
                refused += 1
                message = error.partial
            if isinstance(message, Request):
                bytes(make_response(message, 400, to_tag="t"))
    assert refused > 1_000
