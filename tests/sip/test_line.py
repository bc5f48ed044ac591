"""An account in use: who we are to those we call."""

from random import Random
from typing import Any

import pytest
from sip.peers import OFFER, UDP

from sipagent.errors import LocalProtocolError
from sipagent.sip.account import Account
from sipagent.sip.events import Flow, Transmit
from sipagent.sip.headers import NameAddr
from sipagent.sip.line import Line
from sipagent.sip.message import Request, parse_message
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri


def line(account: Account) -> Line:
    return Line(account, random=Random(1))


class TestWhoWeAre:
    ACCOUNT = Account(
        name="pbx", address=Uri.parse("sip:100@pbx.example.com"), contact_user="100-x", display_name="Harbour"
    )
    ANONYMOUS = Account(
        name="pbx", address=Uri.parse("sip:100@pbx.example.com"), contact_user="100-x", is_anonymous=True
    )

    def test_who_we_are(self) -> None:
        assert line(self.ACCOUNT).present(None) == (NameAddr("Harbour", self.ACCOUNT.address), [])

    def test_another_number_in_from_and_the_truth_beside_it(self) -> None:
        shown = NameAddr.parse("<sip:+4930@pbx.example.com>")
        assert line(self.ACCOUNT).present(shown) == (
            shown,
            [("P-Asserted-Identity", '"Harbour" <sip:100@pbx.example.com>')],
        )
        renamed = NameAddr("Night desk", self.ACCOUNT.address)
        assert line(self.ACCOUNT).present(renamed) == (renamed, [])

    @pytest.mark.parametrize("shown", [None, NameAddr.parse("<sip:+4930@pbx.example.com>")])
    def test_nobody(self, shown: NameAddr | None) -> None:
        us, headers = line(self.ANONYMOUS).present(shown)
        assert str(us) == '"Anonymous" <sip:anonymous@anonymous.invalid>'
        assert headers == [("P-Asserted-Identity", "<sip:100@pbx.example.com>"), ("Privacy", "id")]


class TestOnTheWire:
    def invite(self, account: Account, target: str = "sip:200@pbx.example.com", **fields: Any) -> Request:
        agent = UserAgent(accounts=[account], random=Random(1))
        agent.invite(Uri.parse(target), UDP, account="pbx", body=OFFER, now=0.0, **fields)
        output = agent.poll()
        assert isinstance(output, Transmit)
        message = parse_message(output.data)
        assert isinstance(message, Request)
        return message

    def test_a_call_of_nobody_says_so_and_tells_the_network_who_pays(self) -> None:
        message = self.invite(TestWhoWeAre.ANONYMOUS)
        assert str(message.from_.uri) == "sip:anonymous@anonymous.invalid"
        assert message.headers.get("P-Asserted-Identity") == "<sip:100@pbx.example.com>"
        assert message.headers.get("Privacy") == "id"

    def test_a_number_is_dialled_at_the_domain(self) -> None:
        message = self.invite(TestWhoWeAre.ACCOUNT, "tel:+4930123")
        assert str(message.uri) == str(message.to.uri) == "sip:+4930123@pbx.example.com;user=phone"
        assert line(TestWhoWeAre.ACCOUNT).first_hop(Uri.parse("tel:+4930123")).host == "pbx.example.com"

    def test_any_field_may_be_added_but_none_that_breaks_the_message(self) -> None:
        message = self.invite(TestWhoWeAre.ACCOUNT, headers=[("X-Campaign", "7"), ("User-to-User", "00;encoding=hex")])
        assert message.headers.get("X-Campaign") == "7"
        assert message.headers.get("User-to-User") == "00;encoding=hex"
        assert "P-Asserted-Identity" not in message.headers
        for value in ("a\r\nVia: b", "a\nb", "a\0b", "a\rb"):
            with pytest.raises(LocalProtocolError):
                self.invite(TestWhoWeAre.ACCOUNT, headers=[("X-Campaign", value)])


@pytest.mark.parametrize(
    ("settings", "target", "hop"),
    [
        ({}, "sip:200@pbx.example.com", "sip:200@pbx.example.com"),
        ({"transport": "tls"}, "sip:200@PBX.example.com:5071", "sip:200@PBX.example.com:5071;transport=tls"),
        ({"transport": "tls"}, "sip:200@pbx.example.com;transport=tcp", "sip:200@pbx.example.com;transport=tcp"),
        ({"transport": "tls"}, "sip:200@elsewhere.example", "sip:200@elsewhere.example"),
        (
            {"transport": "tls", "outbound_proxy": Uri.parse("sip:edge.example.com;transport=tcp")},
            "sip:200@pbx.example.com",
            "sip:edge.example.com;transport=tcp;lr",
        ),
    ],
)
def test_where_a_call_goes_first(settings: dict[str, Any], target: str, hop: str) -> None:
    account = Account(name="a", address=Uri.parse("sip:100@pbx.example.com"), contact_user="x", **settings)
    assert str(Line(account, random=Random(1)).first_hop(Uri.parse(target))) == hop


class TestOutside:
    """The address in our Contact, where a line has one of its own."""

    def contact(self, remote: str, external_address: str | None) -> str:
        account = Account(
            name="pbx",
            address=Uri.parse("sip:100@pbx.example.com"),
            contact_user="100-x",
            external_address=external_address,
        )
        agent = UserAgent(accounts=[account], random=Random(1))
        flow = Flow("UDP", (remote, 5060), ("10.0.0.2", 5060))
        agent.invite(Uri.parse("sip:200@pbx.example.com"), flow, account="pbx", body=OFFER, now=0.0)
        output = agent.poll()
        assert isinstance(output, Transmit)
        message = parse_message(output.data)
        assert message.contact is not None
        return message.contact.uri.host

    def test_far_peers_see_it_and_near_ones_don_t(self) -> None:
        assert self.contact("198.51.100.7", "203.0.113.8") == "203.0.113.8"
        assert self.contact("10.0.0.9", "203.0.113.8") == "10.0.0.2"
        assert self.contact("198.51.100.7", None) == "10.0.0.2"
