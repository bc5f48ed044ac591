"""Dialogs: what they keep of the messages that open them, and the requests they build."""

from random import Random
from typing import Any

import pytest
from sip.peers import invite as write_invite
from sip.peers import request as write_request
from sip.peers import respond, write

from sipagent.sip.dialog import Dialog, flow_to
from sipagent.sip.events import Flow
from sipagent.sip.locate import DEFAULT_PORTS, Answer, Location
from sipagent.sip.message import Request, Response, parse_message
from sipagent.sip.uri import Uri

UDP = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060))
TCP = Flow("TCP", ("192.0.2.1", 40000), ("192.0.2.2", 5060))
LOOSE = "Record-Route: <sip:p2.example;lr>\nRecord-Route: <sip:p1.example:5070;lr>"


def parse_request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def parse_response(data: bytes) -> Response:
    message = parse_message(data)
    assert isinstance(message, Response)
    return message


def callee(flow: Flow = UDP, **fields: Any) -> Dialog:
    """The dialog of an INVITE that came."""
    return Dialog.from_request(parse_request(write_invite(**fields)), "bob-tag", flow)


def caller(flow: Flow = UDP, headers: str = "", contact: str = "<sip:bob@203.0.113.9:5080>") -> Dialog:
    """The dialog of an INVITE that we sent as Alice."""
    request = parse_request(write("INVITE sip:bob@example.com SIP/2.0"))
    response = parse_response(respond(request, 200, tag="bob-tag", headers=headers, contact=contact))
    return Dialog.from_response(request, response, flow)


class TestOpening:
    def test_by_an_invite_that_came(self) -> None:
        dialog = callee(cseq="7 INVITE", record_route=LOOSE)
        assert dialog.id == ("call-1", "bob-tag", "alice-tag")
        assert [route.uri.host for route in dialog.route_set] == ["p2.example", "p1.example"]
        assert str(dialog.remote_target) == "sip:alice@192.0.2.1"
        assert (dialog.local_sequence, dialog.remote_sequence) == (0, 7)

    def test_by_a_response_with_the_routes_reversed(self) -> None:
        dialog = caller(headers=LOOSE)
        assert dialog.id == ("call-1", "alice-tag", "bob-tag")
        assert [route.uri.host for route in dialog.route_set] == ["p1.example", "p2.example"]
        assert str(dialog.remote_target) == "sip:bob@203.0.113.9:5080"
        assert (dialog.local_sequence, dialog.remote_sequence) == (1, None)

    def test_by_an_invite_of_rfc_2543(self) -> None:
        dialog = callee(from_tag="", contact=None)
        assert dialog.id == ("call-1", "bob-tag", "")
        assert str(dialog.remote_target) == "sip:alice@192.0.2.1"
        assert dialog.make_request("BYE").to.tag is None

    def test_by_a_response_without_contact(self) -> None:
        assert str(caller(contact="").remote_target) == "sip:bob@example.com"


class TestRequests:
    def test_what_a_request_holds(self) -> None:
        request = callee().make_request("BYE", [("Reason", "Q.850;cause=16")])
        assert (request.method, str(request.uri)) == ("BYE", "sip:alice@192.0.2.1")
        assert (request.from_.tag, request.to.tag, request.call_id) == ("bob-tag", "alice-tag", "call-1")
        assert str(request.cseq) == "1 BYE"
        assert request.max_forwards == 70
        assert request.headers.get("Reason") == "Q.850;cause=16"
        assert "Route" not in request.headers

    def test_the_sequence_counts_on_but_an_ack_repeats_its_invite(self) -> None:
        dialog = caller()
        assert str(dialog.make_request("INVITE").cseq) == "2 INVITE"
        assert str(dialog.make_request("ACK", sequence=1).cseq) == "1 ACK"
        assert str(dialog.make_request("BYE").cseq) == "3 BYE"

    def test_loose_routes(self) -> None:
        dialog = callee(record_route=LOOSE)
        request = dialog.make_request("BYE")
        assert str(request.uri) == "sip:alice@192.0.2.1"
        assert request.headers.get_all("Route") == ["<sip:p2.example;lr>", "<sip:p1.example:5070;lr>"]
        assert dialog.next_hop().remote == ("p2.example", 5060)

    def test_a_strict_router_becomes_the_request_uri(self) -> None:
        dialog = callee(record_route="Record-Route: <sip:p2.example>, <sip:p1.example;lr>")
        request = dialog.make_request("BYE")
        assert str(request.uri) == "sip:p2.example"
        assert request.headers.get_all("Route") == ["<sip:p1.example;lr>", "<sip:alice@192.0.2.1>"]
        assert dialog.next_hop().remote == ("p2.example", 5060)

    def test_private_addresses_in_a_route_are_kept_as_they_are(self) -> None:
        route = "<sip:10.0.0.5:5060;lr;ftag=x;nat=yes>"
        assert callee(record_route=f"Record-Route: {route}").make_request("BYE").headers.get_all("Route") == [route]


class TestOrder:
    @pytest.mark.parametrize(
        ("last", "method", "number", "is_in_order"),
        [
            (5, "BYE", 6, True),
            (5, "BYE", 600, True),
            (5, "BYE", 4, False),
            (5, "OPTIONS", 5, True),
            (5, "INVITE", 5, False),
            (5, "INVITE", 6, True),
        ],
    )
    def test_of_requests(self, last: int, method: str, number: int, is_in_order: bool) -> None:
        dialog = callee(cseq=f"{last} INVITE")
        assert dialog.receive_sequence(parse_request(write_request(method, number))) is is_in_order
        assert dialog.remote_sequence == (number if is_in_order else last)

    def test_the_callee_begins_where_it_likes(self) -> None:
        dialog = caller()
        assert dialog.receive_sequence(parse_request(write_request("BYE", 4000)))
        assert not dialog.receive_sequence(parse_request(write_request("BYE", 3999)))


class TestNextHop:
    def test_the_contact(self) -> None:
        assert caller().next_hop() == Flow("UDP", ("203.0.113.9", 5080), UDP.local)

    def test_a_new_contact(self) -> None:
        dialog = callee()
        dialog.refresh_target(parse_request(write_invite(contact="<sip:alice@192.0.2.77:5099>")), UDP)
        assert dialog.next_hop().remote == ("192.0.2.77", 5099)
        assert str(dialog.make_request("BYE").uri) == "sip:alice@192.0.2.77:5099"

    def test_the_connection_until_it_is_lost(self) -> None:
        dialog = callee(TCP, contact="<sip:alice@192.0.2.1:5062;transport=tcp>")
        assert dialog.next_hop() == TCP
        dialog.flow_failed(Flow("TCP", ("192.0.2.1", 1), TCP.local))
        assert dialog.next_hop() == TCP
        dialog.flow_failed(TCP)
        assert dialog.next_hop() == Flow("TCP", ("192.0.2.1", 5062), TCP.local)

    def test_a_connection_that_we_opened_is_opened_again_but_once(self) -> None:
        trunk = Flow("TLS", ("192.0.2.1", 5061), ("192.0.2.2", 5061), "pbx.example.com")
        dialog = callee(trunk, contact="<sip:alice@192.0.2.1:5062;transport=tls>")
        dialog.flow_failed(trunk)
        assert dialog.next_hop() is dialog.flow
        dialog.flow_failed(trunk)
        assert dialog.next_hop().remote == ("192.0.2.1", 5062)
        dialog.refresh_target(parse_request(write_invite()), trunk)
        dialog.flow_failed(trunk)
        assert dialog.next_hop() is dialog.flow

    def test_a_proxy_that_names_itself_by_its_address_is_the_one_we_verified_by_name(self) -> None:
        trunk = Flow("TLS", ("192.0.2.1", 5061), ("192.0.2.2", 5061), "pbx.example.com")
        dialog = callee(trunk, record_route="Record-Route: <sip:192.0.2.1:5061;transport=tls;lr>")
        assert dialog.next_hop().name == "pbx.example.com"
        other = callee(trunk, record_route="Record-Route: <sip:192.0.2.9:5061;transport=tls;lr>")
        assert other.next_hop().name == "192.0.2.9"

    @pytest.mark.parametrize(
        ("transport", "parameter"),
        [("UDP", ""), ("TCP", ";transport=tcp"), ("TLS", ";transport=tls"), ("WSS", ";transport=ws")],
    )
    def test_a_domain_is_located_for_the_transport_that_we_have(self, transport: str, parameter: str) -> None:
        """A secure WebSocket is a ``ws`` in a URI: it must not be looked for as one that anybody can read."""
        flow = Flow(transport, ("192.0.2.1", 5061), ("192.0.2.2", 5061))
        dialog = callee(flow, record_route=f"Record-Route: <sip:edge.example.com{parameter};lr>")
        hop = dialog.hop()
        assert isinstance(hop, Uri)
        location = Location(hop, transports=DEFAULT_PORTS, families=("A",), random=Random(1))
        while location.wanted:
            query = location.wanted[0]
            location.receive_answer(query, Answer(("192.0.2.1",) if query.kind == "A" else ()))
        assert [target.transport for target in location.targets] == [transport]

    def test_a_contact_of_another_transport(self) -> None:
        dialog = callee(TCP, contact="<sip:alice@192.0.2.1:5062;transport=udp>")
        assert dialog.next_hop() == Flow("UDP", ("192.0.2.1", 5062), TCP.local)

    def test_a_telephone_behind_nat_is_where_its_packets_come_from(self) -> None:
        outside = Flow("UDP", ("198.51.100.7", 31337), ("192.0.2.2", 5060))
        assert callee(outside).next_hop() == outside
        assert callee(outside, contact="<sip:alice@192.0.2.50>").next_hop().remote == ("192.0.2.50", 5060)
        assert callee(outside, record_route=LOOSE).next_hop().remote == ("p2.example", 5060)

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("sip:p.example", Flow("UDP", ("p.example", 5060), UDP.local)),
            ("sip:p.example:5070;transport=TCP", Flow("TCP", ("p.example", 5070), UDP.local)),
            ("sip:UserB@example.com;maddr=ss1.example.com", Flow("UDP", ("ss1.example.com", 5060), UDP.local)),
            ("sip:[2001:db8::1]:5070", Flow("UDP", ("2001:db8::1", 5070), UDP.local)),
            ("tel:+15551234", UDP),
        ],
    )
    def test_of_a_uri(self, uri: str, expected: Flow) -> None:
        assert flow_to(Uri.parse(uri), UDP) == expected
