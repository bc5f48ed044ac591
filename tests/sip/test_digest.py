"""Digest authentication: what we answer, what we never answer, and how others prove themselves to us."""

from collections.abc import Iterable, Mapping
from random import Random
from statistics import median
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError
from sipagent.sip import digest
from sipagent.sip.authentication import Authentication, parse_authentications
from sipagent.sip.digest import NO, STALE, Credentials, DigestClient, DigestServer, ok, read_challenges
from sipagent.sip.grammar import quote
from sipagent.sip.headers import Headers
from sipagent.sip.message import Request, Response, make_response, parse_message
from sipagent.sip.proof import Proof, find_algorithm
from sipagent.sip.uri import Uri

PBX = Uri.parse("sip:pbx.example.com")
ALICE = Credentials("alice", "wonderland")
NONCE = 'Digest realm="pbx", nonce="{}", qop="auth"'


def make_client(credentials: Credentials = ALICE, domain: str = "") -> DigestClient:
    return DigestClient(credentials, random=Random(1), domain=domain)


def make_request(fields: Iterable[tuple[str, str]] = (), *, method: str = "REGISTER", body: bytes = b"") -> Request:
    common = [
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa"),
        ("From", "<sip:alice@pbx.example.com>;tag=a"),
        ("To", "<sip:alice@pbx.example.com>"),
        ("Call-ID", "c"),
        ("CSeq", f"1 {method}"),
    ]
    return Request(method, PBX, Headers([*common, *fields]), body)


def challenge(*values: str, status: int = 401, name: str = "WWW-Authenticate") -> Response:
    response = make_response(make_request(), status)
    for value in values:
        response.headers.add(name, value)
    return response


def read(value: str) -> Authentication:
    (found,) = parse_authentications([value])
    return found


def is_right(value: str, password: str = "wonderland", method: str = "REGISTER", body: bytes = b"") -> bool:
    """Whether credentials of ours hold, by their own words."""
    found = read(value)
    algorithm = find_algorithm(found.get("algorithm"))
    assert algorithm is not None
    proof = Proof(
        algorithm=algorithm,
        username="alice",
        realm=found.get("realm") or "",
        nonce=found.get("nonce") or "",
        method=method,
        uri=found.get("uri") or "",
        qop=found.get("qop"),
        cnonce=found.get("cnonce") or "",
        nonce_count=found.get("nc") or "",
        body=body,
    )
    return proof.calculate(password) == found.get("response")


class Talk:
    """A client and the request that it tries to get through."""

    def __init__(self, client: DigestClient) -> None:
        self.client = client
        self.request = make_request()

    def start(self) -> list[tuple[str, str]]:
        """Begin another request; return what it carries unasked."""
        fields = self.client.authorize("REGISTER", str(PBX), b"")
        self.request = make_request(fields)
        return fields

    def challenge(self, nonce: str, *, realm: str = "pbx", stale: bool = False) -> Mapping[str, str | None] | None:
        """Challenge the request; return what is answered, and put it into the request."""
        ending = ", stale=true" if stale else ""
        answer = self.client.answer(
            challenge(f'Digest realm="{realm}", nonce="{nonce}", qop="auth"{ending}'), self.request
        )
        if answer is None:
            return None
        self.request.headers.set(*answer)
        return read(answer[1]).parameters


class TestAnswer:
    def test_what_it_holds(self) -> None:
        asked = 'Digest realm="pbx", nonce="n", opaque="o", algorithm=MD5, qop="auth,auth-int"'
        answer = make_client().answer(challenge(asked), make_request())
        assert answer is not None
        name, value = answer
        assert name == "Authorization"
        assert is_right(value)
        found = read(value)
        assert found.scheme == "digest"
        names = ["username", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "qop", "nc", "opaque"]
        assert [pair[0] for pair in found.parameters.pairs] == names
        expected = {"username": "alice", "uri": "sip:pbx.example.com", "opaque": "o", "qop": "auth", "nc": "00000001"}
        assert {key: found.get(key) for key in expected} == expected
        # These go without quotes (RFC 7616 section 3.4).
        assert ", algorithm=MD5, " in value
        assert ", qop=auth, nc=00000001, " in value

    def test_a_proxy_asks(self) -> None:
        answer = make_client().answer(
            challenge(NONCE.format("n"), status=407, name="Proxy-Authenticate"), make_request()
        )
        assert answer is not None
        assert answer[0] == "Proxy-Authorization"
        assert is_right(answer[1])

    def test_a_peer_of_rfc_2069_gets_what_it_knows(self) -> None:
        answer = make_client().answer(challenge('Digest realm="pbx", nonce="n"'), make_request())
        assert answer is not None
        assert is_right(answer[1])
        names = ["username", "realm", "nonce", "uri", "response"]
        assert [pair[0] for pair in read(answer[1]).parameters.pairs] == names

    @pytest.mark.parametrize("name", ["MD5-sess", "SHA-256-sess", "SHA-512-256-sess"])
    def test_per_session_when_only_that_is_asked_for(self, name: str) -> None:
        answer = make_client().answer(challenge(NONCE.format("n") + f", algorithm={name}"), make_request())
        assert answer is not None
        assert read(answer[1]).get("algorithm") == name
        assert is_right(answer[1])

    def test_auth_int_when_only_that_is_asked_for(self) -> None:
        request = make_request(method="INVITE", body=b"v=0")
        answer = make_client().answer(challenge('Digest realm="pbx", nonce="n", qop="auth-int"'), request)
        assert answer is not None
        assert read(answer[1]).get("qop") == "auth-int"
        assert is_right(answer[1], method="INVITE", body=b"v=0")

    def test_quotes_and_backslashes_come_through(self) -> None:
        client = make_client(Credentials('a"l\\ice', "p"))
        asked = challenge(r'Digest realm="the \"big\" \\ pbx", nonce="n\"", opaque="\\"')
        answer = client.answer(asked, make_request())
        assert answer is not None
        assert r'username="a\"l\\ice", realm="the \"big\" \\ pbx", nonce="n\""' in answer[1]
        assert r'opaque="\\"' in answer[1]
        algorithm = find_algorithm("MD5")
        assert algorithm is not None
        names = {"username": 'a"l\\ice', "realm": 'the "big" \\ pbx', "nonce": 'n"'}
        proof = Proof(algorithm=algorithm, method="REGISTER", uri=str(PBX), **names)
        assert read(answer[1]).get("response") == proof.calculate("p")

    def test_a_user_name_is_hashed_only_where_the_challenge_says_so(self) -> None:
        asked = 'Digest realm="api@example.org", nonce="n", qop="auth", algorithm=SHA-512-256, userhash=true'
        answer = make_client(Credentials("Jäsøn Doe", "p")).answer(challenge(asked), make_request())
        assert answer is not None
        found = read(answer[1])
        assert found.get("username") == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        assert found.get("userhash") == "true"
        plain = make_client(Credentials("Jäsøn Doe", "p")).answer(challenge(asked[:-4] + "false"), make_request())
        assert plain is not None
        assert read(plain[1]).get("username") == "Jäsøn Doe"
        assert "userhash" not in plain[1]

    def test_the_password_is_in_no_repr(self) -> None:
        assert "wonderland" not in repr(ALICE)


class TestSeveralChallenges:
    MD5 = 'Digest realm="pbx", nonce="m", qop="auth", algorithm=MD5'
    SHA = 'Digest realm="pbx", nonce="s", qop="auth", algorithm="SHA-256"'
    STRONG = 'Digest realm="pbx", nonce="t", qop="auth", algorithm=SHA-512-256'
    UNKNOWN = 'Digest realm="pbx", nonce="u", qop="auth", algorithm=SHA3-999'
    BASIC = 'Basic realm="pbx"'

    @pytest.mark.parametrize(
        ("values", "nonce"),
        [
            ([MD5, SHA], "s"),
            ([SHA, MD5], "s"),
            ([f"{MD5}, {SHA}"], "s"),
            ([UNKNOWN, MD5, STRONG, SHA, BASIC], "t"),
            ([UNKNOWN, BASIC, MD5], "m"),
            (['Digest realm="pbx", nonce="x", qop="other", algorithm=SHA-256', MD5], "m"),
            (['Digest realm="pbx", nonce="x", algorithm=MD5-sess', MD5], "m"),
        ],
    )
    def test_the_strongest_we_know_is_answered_wherever_it_stands(self, values: list[str], nonce: str) -> None:
        answer = make_client().answer(challenge(*values), make_request())
        assert answer is not None
        assert read(answer[1]).get("nonce") == nonce
        assert is_right(answer[1])

    @pytest.mark.parametrize("values", [[UNKNOWN], [BASIC], [UNKNOWN, BASIC], ["Digest"], ['Digest realm="pbx"']])
    def test_none_that_we_know(self, values: list[str]) -> None:
        assert make_client().answer(challenge(*values), make_request()) is None

    def test_freeswitch_sends_401_without_a_challenge(self) -> None:
        assert make_client().answer(challenge(), make_request()) is None

    def test_a_challenge_in_the_field_of_the_other_status_is_none(self) -> None:
        assert make_client().answer(challenge(self.MD5, status=407), make_request()) is None

    @pytest.mark.parametrize("status", [200, 403, 404, 500])
    def test_other_statuses_are_no_challenges(self, status: int) -> None:
        assert make_client().answer(challenge(self.MD5, status=status), make_request()) is None

    def test_what_this_machine_does_not_have_is_skipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lacking = tuple(found for found in digest.ALGORITHMS if found.function != "sha512_256")
        monkeypatch.setattr("sipagent.sip.proof.ALGORITHMS", lacking)
        assert [found.nonce for found in read_challenges([self.STRONG, self.SHA])] == ["s"]


class TestRefusal:
    def test_a_wrong_password_is_tried_once(self) -> None:
        talk = Talk(make_client())
        assert talk.challenge("one") is not None
        assert talk.challenge("two") is None
        # The next request begins anew, so that a password set right at the other end is found to be so.
        assert talk.start() == []
        assert talk.challenge("three") is not None
        assert talk.challenge("three") is None

    def test_stale_is_no_refusal(self) -> None:
        talk = Talk(make_client())
        assert talk.challenge("one") is not None
        answer = talk.challenge("two", stale=True)
        assert answer is not None
        assert (answer["nonce"], answer["nc"]) == ("two", "00000001")
        assert talk.challenge("three") is None

    def test_a_nonce_that_was_good_wears_out_without_stale(self) -> None:
        """M10, baresip #786."""
        talk = Talk(make_client())
        talk.challenge("one")
        ((name, value),) = talk.start()
        assert (name, read(value).get("nonce"), read(value).get("nc")) == ("Authorization", "one", "00000002")
        assert is_right(value)
        answer = talk.challenge("two")
        assert answer is not None
        assert (answer["nonce"], answer["nc"]) == ("two", "00000001")
        assert talk.challenge("three") is None

    def test_the_same_nonce_refused_after_it_was_good_gets_one_more_try(self) -> None:
        talk = Talk(make_client())
        talk.challenge("one")
        talk.start()
        answer = talk.challenge("one")
        assert answer is not None
        assert answer["nc"] == "00000003"
        assert talk.challenge("one") is None

    def test_two_requests_at_once_meet_the_worn_out_nonce(self) -> None:
        client = make_client()
        first, second = Talk(client), Talk(client)
        first.challenge("one")
        first.start()
        second.start()
        assert first.challenge("two") is not None
        assert second.challenge("three") is not None

    def test_a_wrong_password_ends_however_often_the_nonce_changes(self) -> None:
        client = make_client()
        talk = Talk(client)
        talk.challenge("good")
        for round_ in range(20):
            talk.start()
            tries = 0
            while talk.challenge(f"{round_} {tries}") is not None:
                tries += 1
            assert tries <= 1

    def test_the_count_goes_on_when_a_nonce_comes_again(self) -> None:
        talk = Talk(make_client())
        counts = []
        for _ in range(3):
            talk.request = make_request()
            answer = talk.challenge("fixed")
            assert answer is not None
            counts.append(answer["nc"])
        assert counts == ["00000001", "00000002", "00000003"]

    def test_the_proxy_and_the_registrar_are_counted_apart(self) -> None:
        client = make_client()
        client.answer(challenge(NONCE.format("p"), status=407, name="Proxy-Authenticate"), make_request())
        client.answer(challenge(NONCE.format("r")), make_request())
        fields = client.authorize("INVITE", "sip:bob@pbx.example.com", b"v=0")
        assert [(name, read(value).get("nonce"), read(value).get("nc")) for name, value in fields] == [
            ("Proxy-Authorization", "p", "00000002"),
            ("Authorization", "r", "00000002"),
        ]
        assert all(is_right(value, method="INVITE") for _, value in fields)


class TestRealm:
    """A digest given to whoever asks is a digest given away (CVE-2021-41158)."""

    def test_the_one_that_is_configured_and_no_other(self) -> None:
        talk = Talk(make_client(Credentials("alice", "p", realm="pbx"), domain="pbx.example.com"))
        assert talk.challenge("n", realm="rogue") is None
        assert talk.challenge("n", realm="PBX") is None
        assert talk.challenge("n", realm="pbx.example.com") is None
        assert talk.challenge("n", realm="pbx") is not None

    def test_the_first_is_remembered(self) -> None:
        talk = Talk(make_client(domain="pbx.example.com"))
        assert talk.challenge("n", realm="asterisk") is not None
        talk.start()
        talk.request = make_request()
        assert talk.challenge("n", realm="rogue") is None
        assert talk.challenge("n", realm="PBX.example.com") is not None
        assert talk.challenge("n", realm="asterisk") is not None

    def test_a_first_one_that_refused_us_was_not_ours(self) -> None:
        talk = Talk(make_client())
        assert talk.challenge("n", realm="still starting") is not None
        assert talk.challenge("n", realm="still starting") is None
        talk.start()
        assert talk.challenge("n", realm="asterisk") is not None

    def test_of_several_only_ours_counts(self) -> None:
        client = make_client(Credentials("alice", "wonderland", realm="pbx"))
        rogue = 'Digest realm="rogue", nonce="x", qop="auth", algorithm=SHA-256'
        answer = client.answer(challenge(rogue, NONCE.format("n")), make_request())
        assert answer is not None
        assert read(answer[1]).get("realm") == "pbx"

    def test_what_is_remembered_is_bounded(self) -> None:
        client = make_client(domain="d")
        for number in range(1_000):
            for realm in ("first", "d", f"r{number}"):
                client.answer(challenge(f'Digest realm="{realm}", nonce="{number}", qop="auth"'), make_request())
            client.authorize("REGISTER", "sip:d", b"")
        assert len(client._sessions) == 2
        assert len(client._proven) == digest.PROVEN_MAX


class Guarded:
    """A server, and telephones that try it."""

    USERS: Mapping[str, str] = {"alice": "wonderland", "bob": "builder"}

    def __init__(self) -> None:
        self.server = DigestServer("home", key=b"secret", random=Random(2))

    def challenge(self, now: float = 0.0, algorithms: tuple[str, ...] = ("SHA-256", "MD5")) -> Response:
        response = make_response(make_request(), 401)
        for field in self.server.challenge(now=now, algorithms=algorithms):
            response.headers.add(*field)
        return response

    def answered(self, credentials: Credentials = ALICE, *, now: float = 0.0, **kinds: tuple[str, ...]) -> Request:
        """A request as a telephone sends it after a challenge."""
        answer = make_client(credentials).answer(self.challenge(now, **kinds), make_request())
        assert answer is not None
        return make_request([answer])

    def judge(self, request: Request, now: float = 0.0) -> digest.Verdict:
        return self.server.verify(parsed(request), self.USERS.get, now=now)


def parsed(request: Request) -> Request:
    """The request as it comes out of the wire."""
    message = parse_message(bytes(request))
    assert isinstance(message, Request)
    return message


class TestServer:
    def test_the_challenge(self) -> None:
        guarded = Guarded()
        fields = guarded.server.challenge(now=1.0, stale=True)
        assert [name for name, _ in fields] == ["WWW-Authenticate"] * 2
        first, second = (read(value) for _, value in fields)
        assert (first.get("algorithm"), second.get("algorithm")) == ("SHA-256", "MD5")
        expected = {"realm": "home", "qop": "auth", "stale": "true"}
        assert {name: first.get(name) for name in expected} == expected
        assert len(first.get("nonce") or "") == 32
        assert "stale" not in guarded.server.challenge(now=1.0)[0][1]

    @pytest.mark.parametrize("kind", ["SHA-256", "MD5"])
    def test_who_knows_the_password_is_let_in(self, kind: str) -> None:
        guarded = Guarded()
        assert guarded.judge(guarded.answered(algorithms=(kind,))) == ok("alice")
        assert guarded.judge(guarded.answered(Credentials("bob", "builder"), algorithms=(kind,))) == ok("bob")

    @pytest.mark.parametrize(
        "credentials", [Credentials("alice", "wrong"), Credentials("nobody", "wonderland"), Credentials("", "")]
    )
    def test_who_does_not_is_not(self, credentials: Credentials) -> None:
        guarded = Guarded()
        assert guarded.judge(guarded.answered(credentials)) == NO

    def test_no_credentials(self) -> None:
        guarded = Guarded()
        assert guarded.judge(make_request()) == NO

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('realm="home"', 'realm="away"'),
            ("Digest ", "Basic "),
            ('username="alice", ', ""),
            ('uri="sip:pbx.example.com", ', ""),
            ('uri="sip:pbx.example.com"', 'uri="sip:+900123@pbx.example.com"'),
            ("algorithm=SHA-256", "algorithm=SHA-512-256"),
            ("algorithm=SHA-256", "algorithm=SHA-256-sess"),
            ("nc=00000001", "nc=00000002"),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=" + "9" * 5_000),
            ("qop=auth,", "qop=auth-int,"),
            (', response="', ', response="0'),
            (', response="', ', response="\xe4'),
        ],
    )
    def test_what_is_not_whole(self, old: str, new: str) -> None:
        guarded = Guarded()
        value = guarded.answered().headers.get("Authorization") or ""
        assert old in value
        assert guarded.judge(make_request([("Authorization", value.replace(old, new))])) == NO
        assert guarded.judge(make_request([("Authorization", value)])) == ok("alice")

    def test_credentials_for_others_stand_beside(self) -> None:
        guarded = Guarded()
        (field,) = [field for field in guarded.answered().headers.items() if field[0] == "Authorization"]
        assert guarded.judge(make_request([("Authorization", 'Digest realm="away", nonce="n"'), field])) == ok("alice")

    def test_a_request_of_another_method_needs_other_credentials(self) -> None:
        guarded = Guarded()
        (field,) = [field for field in guarded.answered().headers.items() if field[0] == "Authorization"]
        assert guarded.judge(make_request([field], method="INVITE")) == NO

    def test_a_nonce_has_its_time(self) -> None:
        guarded = Guarded()
        request = guarded.answered(now=100.0)
        assert guarded.judge(request, now=160.0) == STALE
        assert guarded.judge(request, now=99.9) == STALE
        assert guarded.judge(request, now=159.9) == ok("alice")

    def test_a_nonce_of_somebody_elses_making(self) -> None:
        guarded, other = Guarded(), DigestServer("home", key=b"other", random=Random(3))
        response = make_response(make_request(), 401)
        for field in other.challenge(now=0.0):
            response.headers.add(*field)
        answer = make_client().answer(response, make_request())
        assert answer is not None
        # As after a restart of ours: the password is right, so the telephone may try again.
        assert guarded.judge(make_request([answer])) == STALE

    @pytest.mark.parametrize("nonce", ["", "n", "\xe4", "A" * 32, "A" * 4_000, "A" * 31 + "="])
    def test_what_is_no_nonce(self, nonce: str) -> None:
        guarded = Guarded()
        asked = f'Digest realm="home", nonce="{nonce}", qop="auth", algorithm=MD5'
        answer = make_client().answer(challenge(asked), make_request())
        assert answer is not None
        assert guarded.judge(make_request([answer])) == STALE

    def test_no_count_is_taken_twice(self) -> None:
        guarded = Guarded()
        client = make_client()
        answer = client.answer(guarded.challenge(), make_request())
        assert answer is not None
        requests = [make_request([answer])]
        requests += [make_request(client.authorize("REGISTER", str(PBX), b"")) for _ in range(3)]
        first, second, third, fourth = requests
        assert guarded.judge(first) == ok("alice")
        assert guarded.judge(first) == STALE
        assert guarded.judge(third) == ok("alice")
        assert guarded.judge(second) == STALE
        assert guarded.judge(fourth) == ok("alice")

    def test_without_a_count_a_nonce_is_good_once(self) -> None:
        guarded = Guarded()
        asked = guarded.challenge(algorithms=("MD5",)).headers.get("WWW-Authenticate") or ""
        answer = make_client().answer(challenge(asked.replace(', qop="auth"', "")), make_request())
        assert answer is not None
        assert "nc=" not in answer[1]
        assert guarded.judge(make_request([answer])) == ok("alice")
        assert guarded.judge(make_request([answer])) == STALE

    def test_memory_is_bounded_and_no_replay_gets_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(digest, "NONCES_MAX", 10)
        guarded = Guarded()
        requests = []
        for number in range(30):
            requests.append(guarded.answered(now=number * 0.01))
            assert guarded.judge(requests[-1], now=number * 0.01) == ok("alice")
            assert len(guarded.server._counts) <= 10
        assert [guarded.judge(request, now=0.3) for request in requests] == [STALE] * 30

    def test_what_is_too_old_is_forgotten(self) -> None:
        guarded = Guarded()
        for number in range(100):
            guarded.judge(guarded.answered(now=float(number)), now=float(number))
        assert len(guarded.server._counts) == digest.NONCE_LIFE_S

    def test_wrong_passwords_leave_nothing(self) -> None:
        guarded = Guarded()
        for _ in range(10):
            guarded.judge(guarded.answered(Credentials("alice", "wrong")))
        assert not guarded.server._counts

    def test_a_user_that_does_not_exist_costs_as_much_as_one_that_does(self) -> None:
        guarded = Guarded()
        known, unknown = (parsed(guarded.answered(Credentials(name, "wrong"))) for name in ("alice", "nobody"))
        times: dict[str, list[float]] = {"known": [], "unknown": []}
        for _ in range(2_000):
            for kind, request in (("known", known), ("unknown", unknown)):
                start = perf_counter()
                verdict = guarded.server.verify(request, Guarded.USERS.get, now=0.0)
                times[kind].append(perf_counter() - start)
                assert verdict == NO
        assert abs(median(times["known"]) - median(times["unknown"])) < 0.1 * median(times["known"]) + 2e-6

    def test_an_algorithm_that_is_not_there(self) -> None:
        with pytest.raises(LocalProtocolError, match="no digest algorithm SHA-1"):
            DigestServer("home", key=b"", random=Random(1), algorithms=("SHA-1",))
        with pytest.raises(LocalProtocolError, match="no digest algorithm SHA-1"):
            Guarded().server.challenge(now=0.0, algorithms=("SHA-1",))


ANYTHING = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=80) | st.binary(
    max_size=40
).map(lambda octets: octets.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape"))
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["realm", "nonce", "qop", "algorithm", "opaque", "stale", "username", "uri", "response", "nc", "cnonce"]
    ),
    ANYTHING | st.sampled_from(["home", "auth", "MD5", "SHA-256-sess", "00000001", "true"]),
)


def field(parameters: Mapping[str, str]) -> str:
    return "Digest " + ", ".join(f"{name}={quote(value)}" for name, value in parameters.items())


@given(PARAMETERS.map(field) | ANYTHING)
def test_whatever_is_asked_is_answered_or_not(value: str) -> None:
    answer = make_client().answer(challenge(value), make_request())
    assert answer is None or len(parse_authentications([answer[1]])) == 1


@given(PARAMETERS.map(field) | ANYTHING)
def test_whatever_is_answered_proves_nothing(value: str) -> None:
    server = DigestServer("home", key=b"secret", random=Random(2))
    assert server.verify(make_request([("Authorization", value)]), lambda user: "password", now=0.0) == NO
