"""SRTP written down from its RFCs, slowly, to check the real one against."""

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RTP_HEADER = 12
RTCP_HEADER = 8
SALT_BYTES = {"CM": 14, "GCM": 12}


def counter_mode(key: bytes, start: int, data: bytes) -> bytes:
    """AES in counter mode (RFC 3711, 4.1.1)."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(start.to_bytes(16, "big"))).encryptor()
    return cipher.update(data) + cipher.finalize()


def derive(master: bytes, salt: bytes, label: int, length: int) -> bytes:
    """A session key (RFC 3711, 4.3.1; the shorter salt of RFC 7714, 11, is filled up)."""
    start = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ (label << 48)
    return counter_mode(master, start << 16, bytes(length))


class Oracle:
    """One direction of one stream."""

    def __init__(self, suite: str, key: bytes) -> None:
        self.kind = "GCM" if suite.endswith("GCM") else "CM"
        self.tag_bytes = 4 if suite.endswith("_32") else 10
        salt_bytes = SALT_BYTES[self.kind]
        self.master, self.salt = key[:-salt_bytes], key[-salt_bytes:]

    def protect(self, packet: bytes, rollover: int = 0) -> bytes:
        """The SRTP packet of an RTP packet without CSRCs and extension."""
        header, payload = packet[:RTP_HEADER], packet[RTP_HEADER:]
        index = rollover << 16 | int.from_bytes(packet[2:4], "big")
        ssrc = int.from_bytes(packet[8:12], "big")
        key, salt = self.derive(0, len(self.master)), self.derive(2, len(self.salt))
        if self.kind == "GCM":  # RFC 7714, 8.1
            nonce = int.from_bytes(salt, "big") ^ (ssrc << 48 | index)
            return header + AESGCM(key).encrypt(nonce.to_bytes(12, "big"), payload, header)
        start = (int.from_bytes(salt, "big") << 16) ^ (ssrc << 64) ^ (index << 16)
        body = header + counter_mode(key, start, payload)
        return body + self.tag(1, body + rollover.to_bytes(4, "big"), self.tag_bytes)

    def protect_rtcp(self, packet: bytes, index: int) -> bytes:
        """The SRTCP packet of a compound packet; its tag is never the short one."""
        header, payload = packet[:RTCP_HEADER], packet[RTCP_HEADER:]
        ssrc = int.from_bytes(packet[4:8], "big")
        trailer = (1 << 31 | index).to_bytes(4, "big")
        key, salt = self.derive(3, len(self.master)), self.derive(5, len(self.salt))
        if self.kind == "GCM":  # RFC 7714, 9.1
            nonce = int.from_bytes(salt, "big") ^ (ssrc << 48 | index)
            return header + AESGCM(key).encrypt(nonce.to_bytes(12, "big"), payload, header + trailer) + trailer
        start = (int.from_bytes(salt, "big") << 16) ^ (ssrc << 64) ^ (index << 16)
        body = header + counter_mode(key, start, payload) + trailer
        return body + self.tag(4, body, 10)

    def derive(self, label: int, length: int) -> bytes:
        return derive(self.master, self.salt, label, length)

    def tag(self, label: int, data: bytes, length: int) -> bytes:
        return hmac.digest(self.derive(label, 20), data, "sha1")[:length]
