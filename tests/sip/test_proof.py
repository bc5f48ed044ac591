"""The digest itself, by the RFCs' own examples."""

import hashlib

import pytest

from sipagent.sip.proof import ALGORITHMS, Algorithm, Proof, find_algorithm


def algorithm(name: str) -> Algorithm:
    found = find_algorithm(name)
    assert found is not None
    return found


RFC_2069 = {"username": "Mufasa", "realm": "testrealm@host.com", "uri": "/dir/index.html", "method": "GET"}
RFC_2617 = {**RFC_2069, "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
RFC_7616 = {
    **RFC_2069,
    "realm": "http-auth@example.org",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "qop": "auth",
    "nonce_count": "00000001",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
}
JASON = {
    "username": "Jäsøn Doe",
    "realm": "api@example.org",
    "uri": "/doe.json",
    "method": "GET",
    "nonce": "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    "qop": "auth",
    "nonce_count": "00000001",
    "cnonce": "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
}


@pytest.mark.parametrize(
    ("name", "fields", "password", "response"),
    [
        # RFC 2069 section 2.4 with erratum 749, which corrects the digest.
        ("MD5", RFC_2617, "CircleOfLife", "1949323746fe6a43ef61f9606e7febea"),
        # RFC 2617 section 3.5.
        (
            "MD5",
            {**RFC_2617, "qop": "auth", "nonce_count": "00000001", "cnonce": "0a4f113b"},
            "Circle Of Life",
            "6629fae49393a05397450978507c4ef1",
        ),
        # RFC 7616 section 3.9.1.
        ("MD5", RFC_7616, "Circle of Life", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", RFC_7616, "Circle of Life", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        # RFC 7616 section 3.9.2 with erratum 4897: the RFC's own digest is of a SHA-512 that was cut off.
        ("SHA-512-256", JASON, "Secret, or not?", "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"),
    ],
)
def test_the_examples_of_the_rfcs(name: str, fields: dict[str, str], password: str, response: str) -> None:
    assert Proof(algorithm=algorithm(name), **fields).calculate(password) == response  # type: ignore[arg-type]


def test_the_hash_of_a_username() -> None:
    hashed = algorithm("SHA-512-256").hash(JASON["username"], JASON["realm"])
    assert hashed == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"


def test_per_session_the_secret_holds_both_nonces() -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret = md5(md5("a:r:p") + ":n:c")
    expected = md5(f"{secret}:n:00000002:c:auth:" + md5("REGISTER:sip:r"))
    fields = {"username": "a", "realm": "r", "nonce": "n", "method": "REGISTER", "uri": "sip:r", "qop": "auth"}
    proof = Proof(algorithm=algorithm("MD5-sess"), cnonce="c", nonce_count="00000002", **fields)  # type: ignore[arg-type]
    assert proof.calculate("p") == expected


def test_auth_int_holds_the_body() -> None:
    fields = {**RFC_7616, "qop": "auth-int"}
    digests = {
        Proof(algorithm=algorithm("MD5"), body=body, **fields).calculate("p")  # type: ignore[arg-type]
        for body in (b"", b"a", b"\xff")
    }
    assert len(digests) == 3


def test_names_in_any_case_and_none_is_md5() -> None:
    assert find_algorithm("sha-256") is algorithm("SHA-256")
    assert find_algorithm(None) is algorithm("MD5")
    assert find_algorithm("SHA-1") is None


def test_the_strongest_comes_first() -> None:
    assert [found.name for found in ALGORITHMS] == [
        *("SHA-512-256", "SHA-512-256-sess", "SHA-256", "SHA-256-sess", "MD5", "MD5-sess")
    ]
