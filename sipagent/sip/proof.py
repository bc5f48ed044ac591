"""What a digest is calculated of, and how (:rfc:`7616#section-3.4.1`)."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A hash, and whether it is applied per session (:rfc:`7616#section-3.4.2`)."""

    name: str
    function: str
    """What :mod:`hashlib` calls it."""
    is_session: bool = False

    def hash(self, *parts: str) -> str:
        """Return the hexadecimal hash of the parts, joined by colons."""
        return self.hash_octets(":".join(parts).encode("utf-8", "surrogateescape"))

    def hash_octets(self, octets: bytes) -> str:
        """Return the hexadecimal hash."""
        return hashlib.new(self.function, octets, usedforsecurity=False).hexdigest()


_HASHES = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}

ALGORITHMS: tuple[Algorithm, ...] = tuple(
    Algorithm(name + suffix, function, bool(suffix))
    for name, function in _HASHES.items()
    if function in hashlib.algorithms_available
    for suffix in ("", "-sess")
)
"""What we know, the strongest first. OpenSSL as some build it has no SHA-512/256, and a strict one no MD5."""


def find_algorithm(name: str | None) -> Algorithm | None:
    """Return the algorithm of that name in any case, MD5 for none; ``None`` when we don't know it."""
    wanted = (name or "MD5").lower()
    return next((algorithm for algorithm in ALGORITHMS if algorithm.name.lower() == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a digest is calculated of, but for the password."""

    algorithm: Algorithm
    username: str
    realm: str
    nonce: str
    method: str
    uri: str
    qop: str | None = None
    cnonce: str = ""
    nonce_count: str = ""
    body: bytes = b""

    def calculate(self, password: str) -> str:
        """Return ``response`` (:rfc:`7616#section-3.4.1`); without qop, as :rfc:`2069` has it."""
        hash_of = self.algorithm.hash
        secret = hash_of(self.username, self.realm, password)
        if self.algorithm.is_session:
            secret = hash_of(secret, self.nonce, self.cnonce)
        request = [self.method, self.uri]
        if self.qop == "auth-int":
            request.append(self.algorithm.hash_octets(self.body))
        middle = (self.nonce_count, self.cnonce, self.qop) if self.qop else ()
        return hash_of(secret, self.nonce, *middle, hash_of(*request))
