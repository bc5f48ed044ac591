"""The ears of the caller: packets with the time they came, in; what a person at our own telephone heard, out.

The person's is the telephone's earpiece, with its jitter buffer and its concealment, and a clock that is simulated:
packets come when the kernel had written them down. The instrument's ear takes what is on the wire and no more.
"""

from collections.abc import Sequence
from random import Random

import numpy as np

from sipagent.audio.g711 import Pcm, decode_ulaw
from sipagent.call.earpiece import Earpiece
from sipagent.formats import PCMU
from sipagent.rtp.packet import parse_packet
from sipagent.rtp.parameters import G711, RtpParameters
from sipagent.rtp.receiver import Receiver

TICK_MS = 20
REST_S = 0.3
"""How long what came last is listened to: more than the jitter buffer holds."""
SOURCE = ("192.0.2.1", 4000)


def listen(arrivals: Sequence[tuple[float, bytes]], *, seed: int) -> Pcm:
    """Return what is heard of some packets of PCMU, which are in order of arrival.

    :param seed: of the noise under what is concealed
    """
    if not arrivals:
        return decode_ulaw(b"")
    receiver = Receiver(in_order=False)
    receiver.configure(RtpParameters(payload_type=0, receive_payload_types={0: G711}, remote=SOURCE))
    earpiece = Earpiece(PCMU, random=Random(seed))
    earpiece.configure({0: "PCMU"})
    heard: list[bytes] = []
    began_at, ends_at = arrivals[0][0], arrivals[-1][0] + REST_S
    number = 0
    while (now := began_at + len(heard) * TICK_MS / 1000) < ends_at:
        while number < len(arrivals) and arrivals[number][0] <= now:
            at, packet = arrivals[number]
            for frame in receiver.receive_packet(packet, SOURCE, now=at) or ():
                earpiece.receive(frame, now=at)
            number += 1
        heard.append(earpiece.listen(TICK_MS, now=now))
    return decode_ulaw(b"".join(heard))


def read_wire(arrivals: Sequence[tuple[float, bytes]]) -> Pcm:
    """Return the sound of all packets of PCMU, each where its timestamp says; silence between them."""
    packets = [packet for _, data in arrivals if (packet := parse_packet(data)) is not None]
    if not packets:
        return decode_ulaw(b"")
    first = packets[0].timestamp
    pieces = [((packet.timestamp - first) & 0xFFFF_FFFF, decode_ulaw(packet.payload)) for packet in packets]
    heard: Pcm = np.zeros(max(at + len(piece) for at, piece in pieces), np.int16)
    for at, piece in pieces:
        heard[at : at + len(piece)] = piece
    return heard
