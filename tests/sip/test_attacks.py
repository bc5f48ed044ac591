"""What attackers do, by the rows of the catalogue of attacks (design/telephony.md, section 3), with exact figures.

Bob has a line with a trunk in 10.0.0.0/8 and, for some rows, callers with passwords. Everybody else is a stranger.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network
from random import Random
from typing import Any

import pytest
from sip.peers import ALICE_FROM, ANSWER, BOB, OFFER, Endpoint, describe, describe_all, invite, request, respond, write

from sipagent.errors import LocalProtocolError
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.digest import Credentials, DigestClient
from sipagent.sip.events import Address, Ended, Flow, IncomingInvite, Locate, Reinvited, SourceBanned
from sipagent.sip.finder import AGAIN_S
from sipagent.sip.guard import TABLE_SIZE, GuardSettings, Rule
from sipagent.sip.message import MessageError, Request, Response, parse_message, read_head
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

PEER: Address = ("10.0.0.5", 5060)
STRANGER: Address = ("198.51.100.7", 5060)
VICTIM: Address = ("203.0.113.9", 5060)
THIRD: Address = ("203.0.113.77", 5060)

TRUNK = Rule(line="trunk", networks=(ip_network("10.0.0.0/8"),), contact_user="100-f00dcafe")
PHONES = Rule(line="phones", users={"alice": "wonderland"})
ACCOUNT = Account(
    name="trunk",
    address=Uri.parse("sip:100@pbx.example.com"),
    contact_user="100-f00dcafe",
    credentials=Credentials("100", "secret"),
)

LONG = "User-Agent: telephone\nX: " + "x" * 300
"""An INVITE of a real telephone is that much longer than ours."""

UNSOLICITED = ["INVITE", "OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE", "NOTIFY", "PUBLISH", "REFER", "INFO", "UPDATE"]


class Door(Endpoint):
    """A user agent with a guard, which is asked as the shell asks it; every octet is counted."""

    def __init__(self, *rules: Rule, accounts: Iterable[Account] = (), **settings: Any) -> None:
        super().__init__(BOB)
        guard = GuardSettings(rules=rules or (TRUNK,), **settings)
        self.agent = UserAgent(UserAgentSettings(guard=guard), accounts, random=Random(1))
        self.octets_in: Counter[Address] = Counter()
        self.octets_out: Counter[Address] = Counter()

    def hear(
        self, data: bytes, remote: Address = STRANGER, now: float = 0.0, transport: str = "UDP"
    ) -> list[Request | Response]:
        """Take a message as it comes from there; return what goes out."""
        self.octets_in[remote] += len(data)
        if not self.agent.admits(remote, now=now):
            return []
        receive = self.agent.receive_datagram if transport == "UDP" else self.agent.receive_message
        receive(data, Flow(transport, remote, BOB), now=now)
        out = self.drain()
        for transmit in out:
            self.octets_out[transmit.flow.remote] += len(transmit.data)
        return [read(transmit.data) for transmit in out]

    def status(self, data: bytes, remote: Address = STRANGER, now: float = 0.0, transport: str = "UDP") -> int | None:
        """The status of the one answer, if there is one."""
        messages = self.hear(data, remote, now, transport)
        assert len(messages) <= 1
        return messages[0].status if messages and isinstance(messages[0], Response) else None

    def assert_nothing_is_remembered(self) -> None:
        """Of strangers there is no session, dialog, transaction or timer."""
        self.assert_clean()
        assert not any(isinstance(event, IncomingInvite) for event in self.events)

    def talk(self, remote: Address = PEER, **fields: Any) -> tuple[int, str]:
        """A call from there is up; return its handle and our tag."""
        assert describe_all(self.hear(invite(**fields), remote)) == ["100 INVITE"]
        handle = self.take(IncomingInvite).handle
        self.agent.accept(handle, ANSWER, now=0.0)
        (accepted,) = self.messages()
        tag = accepted.to.tag or ""
        assert self.hear(request("ACK", to_tag=tag), remote) == []
        self.events.clear()
        return handle, tag


def read(data: bytes) -> Request | Response:
    """A message of ours; an answer to nonsense repeats the nonsense, and so can't be parsed whole."""
    try:
        return parse_message(data)
    except MessageError:
        head = read_head(data)
        return Response(int(head.start_line.split()[1]), "", head.headers)


def log_in(challenge: Response, data: bytes, username: str, password: str) -> bytes:
    """The request again, with credentials."""
    asked = parse_message(data)
    assert isinstance(asked, Request)
    field = DigestClient(Credentials(username, password), random=Random(2)).answer(challenge, asked)
    assert field is not None
    asked.headers.add(*field)
    asked.headers.replace_first("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKagain;rport")
    return bytes(asked)


class TestRow1NumbersThatOverflow:
    @pytest.mark.parametrize("number", [str(2**32), str(2**63), str(2**64), "9" * 40, "9" * 4_000, "-1", "1e9"])
    @pytest.mark.parametrize(
        "field", ["CSeq: {} INVITE", "Max-Forwards: {}", "Content-Length: {}", "Expires: {}", "Session-Expires: {}"]
    )
    @pytest.mark.parametrize("remote", [PEER, STRANGER])
    def test_are_400_or_ignored_and_nothing_worse(self, field: str, number: str, remote: Address) -> None:
        line = field.format(number).encode()
        name = line.partition(b":")[0]
        lines = [each for each in invite().split(b"\r\n") if each.partition(b":")[0] != name]
        data = b"\r\n".join([*lines[:-2], line, b"", OFFER])
        door = Door()
        status = door.status(data, remote)
        assert status in ({100, 400} if remote == PEER else {400, 403, None})
        if name == b"CSeq":
            assert status in {400, None}
        assert door.octets_out[STRANGER] <= door.octets_in[STRANGER]


class TestRow2UnsolicitedMethods:
    @pytest.mark.parametrize("method", [*UNSOLICITED, "FOO", "BYE", "CANCEL", "PRACK"])
    @pytest.mark.parametrize("body", [b"", b"x" * 60_000])
    def test_from_a_stranger_leave_nothing(self, method: str, body: bytes) -> None:
        door = Door(TRUNK, PHONES)
        status = door.status(request(method, headers="Accept: a/b\n" * 200, body=body))
        assert status == (481 if method == "CANCEL" else 401)
        door.assert_nothing_is_remembered()

    @pytest.mark.parametrize("method", ["SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH", "REGISTER"])
    @pytest.mark.parametrize("headers", ["", "Accept: a/b\n" * 200, "Accept: " + ", ".join(["a/b"] * 1_000)])
    def test_from_a_peer_are_refused(self, method: str, headers: str) -> None:
        door = Door()
        status = door.status(request(method, headers=headers, body=b"x" * 60_000), PEER)
        assert status == (481 if method == "NOTIFY" else 405)
        door.assert_nothing_is_remembered()

    def test_500_accept_headers_are_too_many(self) -> None:
        assert Door().status(request("SUBSCRIBE", headers="Accept: a/b\n" * 500), PEER) == 513


class TestRow5DigestLeak:
    """CVE-2021-41158: who is called asks for the caller's password."""

    def call(self, target: str) -> tuple[Door, Request, int]:
        """Call somebody by the trunk's account, whose PBX is at PEER; return the INVITE as it went out."""
        door = Door(accounts=[ACCOUNT])
        hop = Flow("UDP", PEER, BOB)
        handle = door.agent.invite(Uri.parse(target), hop, account="trunk", body=OFFER, now=0.0)
        (message,) = door.messages()
        assert isinstance(message, Request)
        return door, message, handle

    CHALLENGE = 'Proxy-Authenticate: Digest realm="pbx.example.com", nonce="n", qop="auth", algorithm=MD5'

    def test_the_pbx_is_answered(self) -> None:
        door, message, _ = self.call("sip:200@pbx.example.com")
        messages = door.hear(respond(message, 407, tag="x", headers=self.CHALLENGE), PEER)
        assert describe_all(messages) == ["ACK", "INVITE"]
        assert messages[1].headers.get("Proxy-Authorization")

    @pytest.mark.parametrize("status", [401, 407])
    @pytest.mark.parametrize("method", ["BYE", "INVITE"])
    def test_within_a_dialog_never(self, method: str, status: int) -> None:
        """The realm may be the PBX's, and the challenge a copy of its own."""
        door, message, handle = self.call("sip:200@pbx.example.com")
        accepted = respond(message, 200, tag="bob", contact="<sip:rogue@203.0.113.77>", body=ANSWER)
        assert describe_all(door.hear(accepted, PEER)) == ["ACK"]
        if method == "BYE":
            door.agent.hang_up(handle, now=1.0)
        else:
            door.agent.reinvite(handle, OFFER, now=1.0)
        sent = [message for message in door.messages() if isinstance(message, Request)][-1]
        assert sent.method == method
        challenge = self.CHALLENGE if status == 407 else self.CHALLENGE.replace("Proxy", "WWW")
        answers = door.hear(respond(sent, status, headers=challenge), THIRD, now=1.1)
        assert describe_all(answers) == ([] if method == "BYE" else ["ACK"])
        door.advance(1_000.0)
        assert not any(b"uthorization" in transmit.data for transmit in door.sent)

    def test_a_callee_elsewhere_is_not_answered(self) -> None:
        door, message, _ = self.call("sip:rogue@rogue.example")
        answers = door.hear(respond(message, 407, tag="x", headers=self.CHALLENGE), PEER)
        assert describe_all(answers) == ["ACK"]

    def test_a_challenge_to_a_stray_response_is_not_answered(self) -> None:
        door = Door(accounts=[ACCOUNT])
        message = parse_message(invite())
        assert isinstance(message, Request)
        assert door.hear(respond(message, 407, tag="x", headers=self.CHALLENGE), PEER) == []


class TestRow6Flood:
    @pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "INVITE", "SUBSCRIBE", "MESSAGE"])
    @pytest.mark.parametrize("users", [False, True])
    def test_five_thousand_a_second_from_many_sources(self, method: str, users: bool) -> None:
        door = Door(TRUNK, *([PHONES] if users else []))
        answered = 0
        for number in range(5_000):
            data = request(method, headers=LONG, call_id=f"{number}", body=OFFER)
            source = (f"198.51.{number >> 8}.{number & 255}", 5060)
            answered += len(door.hear(data, source, now=number / 5_000))
        assert 400 <= answered <= 400 + 200
        assert door.agent.counters["guard_dropped_flood"] == 5_000 - answered
        door.assert_nothing_is_remembered()

    def test_the_tables_have_an_end(self) -> None:
        door = Door(TRUNK, PHONES, strangers_per_s=1e9, strangers_burst=10**9)
        for number in range(12_000):
            door.hear(invite(call_id=f"{number}"), (f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5060))
        door.assert_nothing_is_remembered()
        guard: Any = door.agent._core.guard
        sizes = [len(table) for table in (guard._rates, guard._replies, guard._known, guard._bans, guard._sources)]
        assert sizes == [TABLE_SIZE, TABLE_SIZE, 0, 0, 2_000]

    def test_a_call_that_is_up_survives_it(self) -> None:
        """The flood comes from behind the same NAT."""
        door = Door(TRUNK, PHONES)
        phone, neighbour = (STRANGER[0], 40_000), (STRANGER[0], 40_001)
        data = invite(headers=LONG)
        (challenge,) = door.hear(data, phone)
        assert isinstance(challenge, Response)
        assert describe_all(door.hear(log_in(challenge, data, "alice", "wonderland"), phone)) == ["100 INVITE"]
        event = door.take(IncomingInvite)
        assert (event.line, event.is_trusted, event.username) == ("phones", False, "alice")
        door.agent.accept(event.handle, ANSWER, now=0.0)
        (accepted,) = door.messages()
        for number in range(5_000):
            door.hear(request("REGISTER", number), neighbour, now=number / 5_000)
        tag = accepted.to.tag
        assert door.hear(request("ACK", to_tag=tag), phone, now=1.0) == []
        assert describe_all(door.hear(request("OPTIONS", 3, to_tag=tag), phone, now=1.0)) == ["200 OPTIONS"]
        assert describe_all(door.hear(request("BYE", 4, to_tag=tag), phone, now=1.0)) == ["200 BYE"]
        assert isinstance(door.take(Ended), Ended)

    def test_the_trunk_is_served_while_strangers_flood(self) -> None:
        door = Door()
        for number in range(5_000):
            door.hear(invite(call_id=f"{number}"), (f"198.51.{number >> 8}.{number & 255}", 5060))
        assert describe_all(door.hear(invite(), PEER)) == ["100 INVITE"]


REQUESTS: dict[str, Any] = {
    **{method: request(method) for method in [*UNSOLICITED, "BYE", "FOO", "CANCEL"]},
    "INVITE of a telephone": invite(headers=LONG, body=OFFER * 40),
    "smallest": b"OPTIONS sip:a SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:<sip:a>;tag=1\r\nt:<sip:a>\r\ni:a\r\n"
    b"CSeq:1 OPTIONS\r\n\r\n",
    "compact with a dialog": b"BYE sip:a SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:<sip:a>;tag=1\r\nt:<sip:a>;tag=2\r\ni:a\r\n"
    b"CSeq:1 BYE\r\n\r\n",
    "malformed": request("INVITE").replace(b"CSeq: 1", b"CSeq: x"),
    "of another version": request("INVITE").replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"),
    "many lines": request("INVITE", headers="a: b\n" * 300),
    "scheme": write("OPTIONS http:x SIP/2.0", cseq="1 OPTIONS"),
    "extension": request("INVITE", headers="Require: a, b, c"),
    "many Vias": request("INVITE", headers="Via: SIP/2.0/UDP a;branch=z9hG4bKb\n" * 60),
    "merely a start": b"INVITE",
    "response": b"SIP/2.0 200 OK\r\nv:SIP/2.0/UDP a\r\nf:<sip:a>;tag=1\r\nt:<sip:a>;tag=2\r\ni:a\r\nCSeq:1 BYE\r\n\r\n",
    "keep-alive": b"\r\n\r\n",
}  # fmt: skip


class TestRow7Amplification:
    @pytest.mark.parametrize("name", REQUESTS)
    @pytest.mark.parametrize("rules", [(TRUNK,), (TRUNK, PHONES)])
    def test_no_question_gets_a_longer_answer(self, name: str, rules: tuple[Rule, ...]) -> None:
        door = Door(*rules)
        assert len(door.hear(REQUESTS[name])) <= 1
        door.advance(100.0)
        assert door.octets_out[STRANGER] <= door.octets_in[STRANGER]
        door.assert_nothing_is_remembered()

    @pytest.mark.parametrize("rules", [(TRUNK,), (TRUNK, PHONES)])
    def test_two_hundred_calls_a_second_in_the_name_of_a_victim(self, rules: tuple[Rule, ...]) -> None:
        """For 32 s, never acknowledged. The figure is printed."""
        door = Door(*rules)
        for number in range(32 * 200):
            door.hear(invite(call_id=f"{number}", headers="User-Agent: x" * 20), VICTIM, now=number / 200)
        door.advance(1_000.0)
        ratio = door.octets_out[VICTIM] / door.octets_in[VICTIM]
        print(f"amplification {ratio:.4f}, {len(door.sent)} answers in 32 s")
        assert 0 < ratio <= 0.02
        assert len(door.sent) <= 5 + 2 * 32
        door.assert_nothing_is_remembered()

    def test_every_kind_of_question_in_the_name_of_many_victims(self) -> None:
        door = Door(TRUNK, PHONES)
        random = Random(7)
        in_window: dict[tuple[Address, int], list[int]] = defaultdict(lambda: [0, 0])
        for number in range(6_400):
            victim = (f"203.0.113.{random.randrange(20)}", random.randrange(1, 65_536))
            data = random.choice(list(REQUESTS.values()))
            now = number / 200
            out = sum(len(bytes(message)) for message in door.hear(data, victim, now))
            counts = in_window[victim, int(now / 32)]
            counts[0] += len(data)
            counts[1] += out
        worst = max(out / into for into, out in in_window.values())
        print(f"worst amplification {worst:.3f}")
        assert 0 < worst <= 1.0

    def test_an_answer_to_a_stranger_is_sent_once(self) -> None:
        door = Door(TRUNK, PHONES)
        assert door.status(invite(headers=LONG)) == 401
        assert door.advance(1_000.0) == []
        assert door.hear(request("ACK"), now=0.1) == []

    def test_a_copy_of_the_question_gets_a_copy_of_the_answer(self) -> None:
        """An answer may be lost; copies come after T1, twice that, and so on."""
        door = Door(TRUNK)
        answers = [door.hear(invite(), now=at) for at in (0.0, 0.5, 1.5, 3.5, 7.5, 15.5)]
        assert [describe_all(each) for each in answers] == [["403 INVITE"]] * 6
        assert len({bytes(message) for (message,) in answers}) == 1

    def test_the_md5_challenge_is_what_remains_when_space_is_short(self) -> None:
        door = Door(TRUNK, PHONES)
        (whole,) = door.hear(invite(headers=LONG))
        (short,) = door.hear(invite(headers="X: " + "x" * 100))
        assert len(whole.headers.get_fields("WWW-Authenticate")) == 2
        assert len(short.headers.get_fields("WWW-Authenticate")) == 1
        assert "MD5" in (short.headers.get("WWW-Authenticate") or "")
        assert door.hear(request("OPTIONS")) == []
        assert door.agent.counters["guard_unanswered_size"] == 1

    def test_over_a_connection_the_challenge_is_whole(self) -> None:
        """Nobody forges the address of a connection."""
        (challenge,) = Door(TRUNK, PHONES).hear(request("OPTIONS"), transport="TCP")
        assert len(challenge.headers.get_fields("WWW-Authenticate")) == 2


class TestRow16Unauthenticated:
    @pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER", "NOTIFY", "REGISTER"])
    def test_gets_no_other_answer_than_a_call(self, method: str) -> None:
        assert Door().status(request(method)) == Door().status(invite()) == 403

    def test_a_refer_within_no_dialog(self) -> None:
        door = Door()
        assert door.status(request("REFER", headers="Refer-To: <sip:+19005551234@x>", to_tag="guess")) == 481
        door.assert_nothing_is_remembered()


class TestRow17Hijack:
    @pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS", "ACK"])
    @pytest.mark.parametrize("fields", [{"to_tag": "guess"}, {"from_tag": "guess"}, {"call_id": "call-2"}])
    @pytest.mark.parametrize("remote", [STRANGER, PEER])
    def test_whoever_does_not_know_the_tags_is_in_no_dialog(
        self, method: str, fields: dict[str, str], remote: Address
    ) -> None:
        door = Door()
        _, tag = door.talk()
        expected = None if method == "ACK" else 481
        assert door.status(request(method, 2, **{"to_tag": tag, **fields}), remote) == expected
        assert door.events == []
        assert door.agent.sessions == 1

    @pytest.mark.parametrize("fields", [{"branch": "z9hG4bKguess"}, {"call_id": "call-2"}, {"from_tag": "guess"}])
    @pytest.mark.parametrize("remote", [STRANGER, PEER])
    def test_a_forged_cancel(self, fields: dict[str, str], remote: Address) -> None:
        door = Door()
        door.hear(invite(), PEER)
        data = request("CANCEL", **{"branch": "z9hG4bKone", "headers": "User-Agent: telephone", **fields})
        assert door.status(data, remote) == 481
        assert door.agent.sessions == 1

    def test_tags_and_branches_have_96_random_bits(self) -> None:
        door = Door()
        tags = {door.talk(call_id=f"{number}", branch=f"z9hG4bK{number}")[1] for number in range(100)}
        assert {len(tag) for tag in tags} == {24}
        assert len(tags) == 100

    def test_media_moved_from_a_third_address_when_the_peer_is_pinned(self) -> None:
        door = Door(pins_source=True)
        _, tag = door.talk()
        reinvite = invite(cseq="2 INVITE", branch="z9hG4bKtwo", to_tag=tag)
        assert door.status(reinvite, THIRD) == 403
        assert door.events == []
        assert describe_all(door.hear(reinvite, (PEER[0], 40_000))) == ["100 INVITE"]
        assert door.take(Reinvited)
        assert door.agent.counters["guard_refused_elsewhere"] == 1

    def test_and_when_it_is_not_who_knows_the_tags_is_the_peer(self) -> None:
        """A proxy's other address, or a telephone that changed its network."""
        door = Door()
        _, tag = door.talk()
        assert describe_all(door.hear(request("BYE", 2, to_tag=tag), THIRD)) == ["200 BYE"]

    @pytest.mark.parametrize("method", ["BYE", "ACK"])
    def test_nor_is_the_call_ended_or_acknowledged_from_there(self, method: str) -> None:
        door = Door(pins_source=True)
        door.hear(invite(), PEER)
        handle = door.take(IncomingInvite).handle
        door.agent.accept(handle, OFFER, now=0.0)
        (accepted,) = door.messages()
        status = door.status(request(method, 1 if method == "ACK" else 2, to_tag=accepted.to.tag), THIRD)
        assert status == (None if method == "ACK" else 403)
        assert door.events == []


class TestRow18Enumeration:
    @pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
    def test_known_and_unknown_users_get_the_same_answer(self, method: str) -> None:
        answers = set()
        for username in ("alice", "mallo"):
            door = Door(TRUNK, PHONES)
            data = request(method, headers=LONG)
            (first,) = door.hear(data)
            assert isinstance(first, Response)
            (second,) = door.hear(log_in(first, data, username, "guess"))
            answers.add((bytes(first), bytes(second)))
        assert len(answers) == 1

    def test_whoever_is_called_the_answer_has_the_same_length(self) -> None:
        data = invite(headers=LONG)
        called = ["bob", "100", "agt", "200"]
        messages = [data.replace(b"INVITE sip:bob@", f"INVITE sip:{user:_<3}@".encode()) for user in called]
        answers = {bytes(answer) for each in messages for answer in Door(TRUNK, PHONES).hear(each)}
        assert len(answers) == 1

    def test_brute_force_ends_in_a_ban_that_is_told_once(self) -> None:
        door = Door(TRUNK, PHONES)
        data = request("REGISTER", headers=LONG)
        tried = 0
        for number in range(100):
            now = number / 2
            challenges = door.hear(data, now=now)
            if challenges and isinstance(challenges[0], Response):
                tried += 1
                door.hear(log_in(challenges[0], data, "alice", f"guess{number}"), now=now)
        assert tried == 5
        assert door.take(SourceBanned) == SourceBanned(STRANGER[0], "wrong password", 5, 900.0)
        assert door.status(data, now=900.0) is None
        assert door.status(data, now=905.0) == 401

    def test_a_copied_answer_is_worth_nothing(self) -> None:
        """Somebody heard alice's INVITE and sends it as his own; from another place it is not even looked at."""
        door = Door(TRUNK, PHONES)
        data = invite(headers=LONG)
        (challenge,) = door.hear(data)
        assert isinstance(challenge, Response)
        good = log_in(challenge, data, "alice", "wonderland")
        stolen = good.replace(b"branch=z9hG4bKagain", b"branch=z9hG4bKthief").replace(b"call-1", b"call-2")
        assert describe_all(door.hear(good)) == ["100 INVITE"]
        assert door.status(stolen, THIRD) == 401
        assert door.status(stolen) == 401
        assert door.agent.sessions == 1

    def test_scanners_learn_nothing(self) -> None:
        door = Door(TRUNK, PHONES)
        for remote in (STRANGER, PEER):
            assert door.hear(request("OPTIONS", headers="User-Agent: friendly-scanner"), remote) == []
        assert door.agent.counters["guard_dropped_scanner"] == 2


class TestRow20HeaderInjection:
    @pytest.mark.parametrize("value", ["a\r\nVia: x", "a\nb", "a\rb", "a\0b"])
    def test_of_the_applications_values(self, value: str) -> None:
        door = Door(accounts=[ACCOUNT])
        with pytest.raises(LocalProtocolError):
            door.agent.invite(
                Uri.parse("sip:a@b"), Flow("UDP", PEER), from_=ALICE_FROM, body=OFFER, headers=[("X", value)], now=0.0
            )
        assert door.messages() == []

    @pytest.mark.parametrize("name", ["X\r\nVia", "X Y", "", "X:"])
    def test_of_its_names(self, name: str) -> None:
        with pytest.raises(LocalProtocolError):
            Door().agent.invite(
                Uri.parse("sip:a@b"), Flow("UDP", PEER), from_=ALICE_FROM, body=OFFER, headers=[(name, "x")], now=0.0
            )

    def test_what_a_stranger_wrote_comes_back_as_it_was(self) -> None:
        """A folded line can't become two in the answer."""
        (answer,) = Door().hear(request("OPTIONS", headers="X: y").replace(b"call-1", b"call-1\r\n ;x"))
        assert isinstance(answer, Response)
        assert answer.status == 400


class TestPeersOfALine:
    def test_the_call_says_which_line_it_is(self) -> None:
        door = Door(accounts=[ACCOUNT])
        door.hear(invite(), PEER)
        event = door.take(IncomingInvite)
        assert (event.line, event.is_trusted, event.username) == ("trunk", True, None)

    def test_from_elsewhere_to_what_only_the_registrar_knows(self) -> None:
        door = Door(accounts=[ACCOUNT])
        data = invite().replace(b"INVITE sip:bob@", b"INVITE sip:100-f00dcafe@")
        assert describe_all(door.hear(data)) == ["100 INVITE"]
        event = door.take(IncomingInvite)
        assert (event.line, event.is_trusted) == ("trunk", False)

    @pytest.mark.parametrize(("target", "status"), [("pbx.example.com", 403), ("pbx.example.com", 200), ("a.b", 200)])
    def test_whoever_accepts_what_goes_to_the_pbx_is_it(self, target: str, status: int) -> None:
        door = Door(accounts=[ACCOUNT])
        hop = Flow("UDP", STRANGER, BOB)
        door.agent.invite(Uri.parse(f"sip:200@{target}"), hop, account="trunk", body=OFFER, now=0.0)
        (message,) = door.messages()
        assert isinstance(message, Request)
        door.hear(respond(message, status, tag="x", contact="<sip:200@198.51.100.7>", body=ANSWER))
        is_learnt = (target, status) == ("pbx.example.com", 200)
        answers = door.hear(invite(headers=LONG), (STRANGER[0], 7000))
        assert describe_all(answers) == ["100 INVITE" if is_learnt else "403 INVITE"]

    def test_the_addresses_of_a_trunk_that_we_do_not_register_with_are_looked_up(self) -> None:
        door = Door(accounts=[ACCOUNT])
        door.agent.find_peers(now=0.0)
        query = door.take(Locate)
        assert str(query.uri) == "sip:100@pbx.example.com"
        door.agent.located(query.query, [Flow("UDP", STRANGER, BOB), Flow("TCP", VICTIM, BOB)], now=1.0)
        for remote in (STRANGER, VICTIM):
            door.hear(invite(call_id=remote[0], branch=f"z9hG4bK{remote[0]}"), remote, 1.0)
            assert door.take(IncomingInvite).line == "trunk"
        assert door.hear(invite(call_id="x", headers=LONG), THIRD, 1.0)[0].status == 403  # type: ignore[union-attr]
        door.agent.handle_timer(now=AGAIN_S)
        again = door.take(Locate)
        door.agent.located(again.query, [], now=AGAIN_S)
        door.agent.located(again.query, [Flow("UDP", THIRD)], now=AGAIN_S)
        assert again.query != query.query
        door.advance(2 * AGAIN_S)
        assert door.take(Locate)

    def test_a_registrar_is_not_looked_up_but_learnt(self) -> None:
        door = Door(accounts=[replace(ACCOUNT, registrars=(Uri.parse("sip:pbx.example.com"),))])
        door.agent.find_peers(now=0.0)
        door.assert_clean()
        door.agent.register("trunk", now=0.0)
        at = door.agent.get_timer()
        assert at is not None
        door.agent.handle_timer(now=at)
        door.agent.located(door.take(Locate).query, [Flow("UDP", STRANGER, BOB)], now=0.0)
        (message,) = door.messages()
        assert isinstance(message, Request)
        assert door.status(invite(headers=LONG), (STRANGER[0], 7000)) == 403
        contact = message.headers.get("Contact") or ""
        assert door.hear(respond(message, 200, tag="x", contact=f"{contact};expires=300")) == []
        assert describe_all(door.hear(invite(headers=LONG), (STRANGER[0], 7000))) == ["100 INVITE"]
        assert door.take(IncomingInvite).is_trusted

    def test_answers_to_our_own_requests_are_heard_whatever_the_flood(self) -> None:
        door = Door(accounts=[ACCOUNT])
        hop = Flow("UDP", STRANGER, BOB)
        door.agent.invite(Uri.parse("sip:200@pbx.example.com"), hop, account="trunk", body=OFFER, now=0.0)
        (message,) = door.messages()
        assert isinstance(message, Request)
        for number in range(5_000):
            door.hear(invite(call_id=f"{number}"), (STRANGER[0], 1))
        door.hear(respond(message, 180, tag="x"))
        assert [describe(event.response) for event in door.events if hasattr(event, "response")] == ["180 INVITE"]

    def test_who_rings_for_us_is_in_an_early_dialog_wherever_it_sends_from(self) -> None:
        door = Door(accounts=[ACCOUNT])
        hop = Flow("UDP", STRANGER, BOB)
        door.agent.invite(Uri.parse("sip:200@pbx.example.com"), hop, account="trunk", body=OFFER, now=0.0)
        (message,) = door.messages()
        assert isinstance(message, Request)
        door.hear(respond(message, 183, tag="x", contact="<sip:200@203.0.113.77>", body=ANSWER))
        ids = {"call_id": message.call_id, "to_tag": message.from_.tag}
        assert door.status(request("UPDATE", 1, from_tag="guess", headers=LONG, **ids), THIRD) == 481
        assert door.status(request("UPDATE", 2, from_tag="x", headers=LONG, **ids), THIRD) == 200

    def test_options_of_a_peer_is_answered_in_full_and_of_a_stranger_not(self) -> None:
        """Asterisk's qualify may insist on a 200; its PBX is a peer."""
        assert Door().status(request("OPTIONS"), PEER) == 200
        assert Door().status(request("OPTIONS", headers="User-Agent: Asterisk PBX 22.1.0")) == 403
