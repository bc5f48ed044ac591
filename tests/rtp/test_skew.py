"""An hour with a phone whose quartz is off: nothing drifts, nothing glitches."""

from collections.abc import Iterator
from random import Random

import pytest
from rtp.wire import FRAME, PARAMETERS, PHONE, SSRC

from sipagent.rtp.packet import pack_packet
from sipagent.rtp.receiver import Receiver

HOUR = 3600 * 50
"""In packets of 20 ms."""
SPEECH = bytes(range(FRAME))


def phone(skew: float, *, pauses: bool) -> Iterator[tuple[float, bytes]]:
    """When packets come, and what they are; up to 15 ms late. With pauses, a second of every five is not sent."""
    random, sequence_number = Random(4), 0
    for number in range(HOUR):
        if pauses and number % 250 >= 200:
            continue
        at = number * 0.020 / (1 + skew) + random.random() * 0.015
        yield at, pack_packet(0, sequence_number & 0xFFFF, number * FRAME, SSRC, SPEECH)
        sequence_number += 1


@pytest.mark.parametrize(("skew", "pauses"), [(-200e-6, False), (200e-6, True)])
def test_an_hour_of_skew(skew: float, pauses: bool) -> None:
    """Each frame is heard when its packet comes, and the whole is as long as the phone's clock says."""
    receiver = Receiver()
    receiver.configure(PARAMETERS)
    heard = silent = 0
    for at, data in phone(skew, pauses=pauses):
        *before, frame = receiver.receive_packet(data, PHONE, now=at) or ()
        assert frame.payload == SPEECH
        heard += 1
        silent += sum(frame.samples for frame in before)
        assert not any(frame.lost for frame in before)
    assert heard == (HOUR * 4 // 5 if pauses else HOUR)
    assert silent == ((HOUR // 5 - 50) * FRAME if pauses else 0)
    assert (receiver.window.lost, receiver.window.late) == (0, 0)
