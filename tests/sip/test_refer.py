"""What REFER and NOTIFY hold."""

import pytest
from sip.peers import request as write_request

from sipagent.errors import RemoteProtocolError
from sipagent.sip.headers import Headers
from sipagent.sip.message import Request, parse_message
from sipagent.sip.refer import (
    SIPFRAG_TYPE,
    ReferTo,
    SubscriptionState,
    read_event,
    read_sipfrag,
    referred_by,
    wants_no_subscription,
    write_sipfrag,
)
from sipagent.sip.replaces import Replaces
from sipagent.sip.uri import Uri


def refer(headers: str) -> Request:
    message = parse_message(write_request("REFER", headers=headers))
    assert isinstance(message, Request)
    return message


def notify(body: bytes, content_type: str = SIPFRAG_TYPE) -> Request:
    return Request("NOTIFY", Uri.parse("sip:a@b"), Headers([("Content-Type", content_type)]), body)


class TestReferTo:
    @pytest.mark.parametrize(
        ("field", "target", "replaces"),
        [
            ("<sip:200@pbx.example>", "sip:200@pbx.example", None),
            ("sip:200@pbx.example", "sip:200@pbx.example", None),
            ('"Sales" <sip:200@pbx.example;user=phone>;x=y', "sip:200@pbx.example;user=phone", None),
            ("<sip:200@pbx.example;method=INVITE>", "sip:200@pbx.example", None),
            ("<tel:+4930>", "tel:+4930", None),
            (
                "<sip:200@pbx.example?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces>",
                "sip:200@pbx.example",
                Replaces("a@b", "1", "2"),
            ),
        ],
    )
    def test_read(self, field: str, target: str, replaces: Replaces | None) -> None:
        refer_to = ReferTo.of_request(refer(f"Refer-To: {field}"))
        assert (str(refer_to.target), refer_to.replaces) == (target, replaces)
        assert ReferTo.of_request(refer(f"Refer-To: {refer_to}")) == refer_to

    def test_compact(self) -> None:
        assert ReferTo.of_request(refer("r: <sip:1@b>\nb: <sip:boss@b>")).target == Uri.parse("sip:1@b")

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ("", 400),
            ("Refer-To: <sip:a@b>\nRefer-To: <sip:c@d>", 400),
            ("Refer-To: <sip:a@b", 400),
            ("Refer-To: <sip:a@b?Replaces=nonsense>", 400),
            ("Refer-To: <sip:a@b?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=x>", 400),
            ("Refer-To: <sip:a@b;method=BYE>", 403),
            ("Refer-To: <sip:a@b;method=SUBSCRIBE?Event=presence>", 403),
        ],
    )
    def test_refused(self, headers: str, status: int) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            ReferTo.of_request(refer(headers))
        assert caught.value.status == status


def test_who_sent_us() -> None:
    found = referred_by(refer("Referred-By: <sip:boss@pbx.example>;cid=1").headers)
    assert found is not None
    assert str(found.uri) == "sip:boss@pbx.example"
    assert referred_by(refer("b: <broken").headers) is None
    assert referred_by(refer("").headers) is None


@pytest.mark.parametrize(
    ("text", "wants_none"), [("false", True), ("FALSE ;x=y", True), ("true", False), ("", False), ("falsehood", False)]
)
def test_without_a_subscription(text: str, wants_none: bool) -> None:
    assert wants_no_subscription(Headers([("Refer-Sub", text)])) is wants_none
    assert not wants_no_subscription(Headers())


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("active;expires=60", SubscriptionState("active", 60)),
        ("Terminated ; reason=noresource", SubscriptionState("terminated", None, "noresource")),
        ("pending", SubscriptionState("pending")),
        ("active;expires=99999999999999999999", SubscriptionState("active", 2**31 - 1)),
    ],
)
def test_subscription_state(text: str, state: SubscriptionState) -> None:
    assert SubscriptionState.of_request(Headers([("Subscription-State", text)])) == state
    assert SubscriptionState.of_request(Headers([("Subscription-State", str(state))])) == state


def test_a_notify_without_a_state_is_one_of_many_and_a_bad_one_is_refused() -> None:
    assert SubscriptionState.of_request(Headers()) == SubscriptionState("active")
    for text in ("", "active;expires=soon", "a b"):
        with pytest.raises(RemoteProtocolError):
            SubscriptionState.of_request(Headers([("Subscription-State", text)]))


def test_event() -> None:
    package, parameters = read_event(Headers([("o", "Refer;id=93809824")]))
    assert (package, parameters.get("id")) == ("refer", "93809824")
    assert read_event(Headers())[0] == ""
    assert read_event(Headers([("Event", "a b")]))[0] == ""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"SIP/2.0 100 Trying\r\n", (100, "Trying")),
        (b"SIP/2.0 200 OK", (200, "OK")),
        (b"\r\nSIP/2.0 486 Busy Here\r\nTo: x\r\n\r\n", (486, "Busy Here")),
        (b"sip/2.0  603\n", (603, "")),
        (b"SIP/2.0 503 \x1b[1m\xff\r\n", (503, "\ufffd[1m\ufffd")),
        (b"SIP/2.0 200 " + b"x" * 5000, (200, "x" * 200)),
        (b"SIP/2.0 700 No", None),
        (b"INVITE sip:a@b SIP/2.0", None),
        (b"", None),
    ],
)
def test_sipfrag(body: bytes, status: tuple[int, str] | None) -> None:
    assert read_sipfrag(notify(body)) == status


def test_a_body_of_another_type_is_no_sipfrag_and_ours_is_one() -> None:
    assert read_sipfrag(notify(b"SIP/2.0 200 OK", "text/plain")) is None
    assert read_sipfrag(notify(write_sipfrag(180))) == (180, "Ringing")
    assert read_sipfrag(notify(write_sipfrag(599))) == (599, "Unknown")
