"""A leg over SIP: the negotiation of its media and the RTP that follows from it."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from sipagent.audio import l16, opus
from sipagent.call.downlink import Downlink
from sipagent.call.events import Address, SendRtcp
from sipagent.call.frames import FRAME_MS
from sipagent.call.uplink import Uplink
from sipagent.formats import AudioFormat, format_of
from sipagent.recent import remember
from sipagent.rtp.dtls import Certificate
from sipagent.rtp.ice import IceParameters
from sipagent.rtp.session import (
    DigitReceived,
    Frame,
    PayloadFormat,
    RtpParameters,
    RtpSession,
    RtpStats,
    SrtpParameters,
    WebRtcParameters,
)
from sipagent.sdp.negotiation import MediaParameters, Negotiation, SrtpKeys, SrtpMode, WebRtcTerms

COUNT_SAMPLES: Mapping[str, Callable[[bytes], int]] = {"opus": opus.samples, "L16": l16.samples}
"""How long a payload is on its RTP clock, where that is not its length in bytes."""

EARLY_S: Final = 0.2
"""What came longer before the answer than that was ringing and announcements, or was meant for nobody."""

EARLY_PACKETS: Final = 20
"""As many as come in that time, of 10 ms each."""


class SipLeg:
    """Frames in the call's format on one side, offers, answers and packets on the other.

    The first agreement settles the format for good, because the model's session can't change it. When a re-INVITE
    changes the codec of the wire, it is converted.

    :param address: where the peer is to send its RTP, as it sees us.
    :param signalling_host: where its SIP comes from; behind a NAT its RTP most likely does, too.
    :param keys_in_rtp: whether keys of ours go there, if the peer takes them.
    :param translates: whether frames come in the call's format and in order; else, for a jitter buffer, as they came.
    :param audio_format: of the frames, whatever is agreed on; not given: what suits the first agreement.
    :param srtp: whether packets may, or must, be protected; it needs the extra of that name.
    :param certificate: with which we meet browsers; without one they are refused.
    """

    def __init__(
        self,
        *,
        address: str,
        port: int,
        codecs: tuple[str, ...],
        cname: str,
        random: Random,
        signalling_host: str | None = None,
        wall_offset: float = 0.0,
        keys_in_rtp: bool = True,
        audio_format: AudioFormat | None = None,
        translates: bool = True,
        srtp: SrtpMode = "off",
        certificate: Certificate | None = None,
    ) -> None:
        self._certificate = certificate
        self._translates = translates
        self._early_packets: list[tuple[bytes, Address, float]] = []
        self._early_frames: list[tuple[Frame, float]] = []
        self._srtp: SrtpMode = srtp
        self._keys_in_rtp = keys_in_rtp
        self._port = port
        self._codecs = codecs
        self._random = random
        self._negotiation = self._negotiate(address)
        self._candidate: Negotiation | None = None
        self.wall_offset = wall_offset
        """What to add to ``now`` for Unix time."""
        self._rtp = RtpSession(random=random, cname=cname, wall_offset=wall_offset, in_order=translates)
        self._media: MediaParameters | None = None
        self._is_format_settled = audio_format is not None
        self._awaits_answer = False
        self._set_format(audio_format or format_of(codecs[0]))
        self._signalling_host = signalling_host
        self.is_held = False

    @property
    def remote(self) -> Address | None:
        """Where our packets go now."""
        return self._rtp.remote

    @property
    def codec(self) -> str:
        """What is on the wire, from us to the peer."""
        return self._media.codec if self._media is not None else self._codecs[0]

    @property
    def encodings(self) -> dict[int, str]:
        """What the peer may send, by payload type, as ``make_codec`` takes it."""
        formats = self._media.receive_formats if self._media is not None else {}
        return {number: f"{entry.codec}/{entry.clock_rate}" for number, entry in formats.items()}

    @property
    def is_agreed(self) -> bool:
        """Whether there is anything to send and to hear: an offer has met its answer."""
        return self._media is not None

    @property
    def is_open(self) -> bool:
        """Whether we can be heard: it is agreed how, and a browser's checks and keys are through."""
        return self._media is not None and self._rtp.is_open

    @property
    def failure(self) -> str:
        """Why nothing will ever be heard: a browser's handshake has failed; empty as long as it has not."""
        return self._rtp.failure

    @property
    def awaits_answer(self) -> bool:
        """Whether the last offer was ours."""
        return self._awaits_answer

    @property
    def stats(self) -> RtpStats:
        """What came, went and was lost."""
        return self._rtp.stats

    # Negotiation

    def receive_offer(self, offer: bytes, *, now: float) -> bytes:
        """Answer an offer.

        :raises RemoteProtocolError: with status 400 or 488; the media stay as they were.
        """
        answer, media = self._negotiation.answer(offer)
        self._configure(media)
        return answer

    def offer(self, *, settles_format: bool = False) -> bytes:
        """Make an offer.

        :param settles_format: the format is that of our first choice, whatever the answer; for who can't wait for it.
        """
        self._is_format_settled |= settles_format
        self._awaits_answer = True
        return self._negotiation.offer()

    def receive_answer(self, answer: bytes, *, now: float) -> None:
        """Take the answer to our offer.

        :raises RemoteProtocolError: when it is none.
        """
        self._configure(self._negotiation.receive_answer(answer))

    def receive_refresh(self, answer: bytes, *, now: float) -> None:
        """Take the answer to our last description, offered again as it was.

        :raises RemoteProtocolError: when it is none; the media stay as they were.
        """
        self._configure(self._negotiation.receive_refresh(answer))

    def receive_replacement(self, offer: bytes, *, address: str, signalling_host: str) -> bytes:
        """Answer the offer of another dialog, which takes the place of ours; an empty one gets ours.

        :raises RemoteProtocolError: with status 400 or 488; the media stay as they were.
        """
        negotiation = self._negotiate(address)
        if not offer:
            self._negotiation, self._signalling_host = negotiation, signalling_host
            return self.offer()
        answer, media = negotiation.answer(offer)
        self._negotiation, self._signalling_host = negotiation, signalling_host
        self._configure(media)
        return answer

    def offer_replacement(self, *, address: str) -> bytes:
        """Make an offer for another dialog; the media stay as they are until its answer comes."""
        self._candidate = self._negotiate(address)
        return self._candidate.offer()

    def receive_replacement_answer(self, answer: bytes, *, signalling_host: str) -> None:
        """Take the answer to that; the dialog takes the place of ours.

        :raises RemoteProtocolError: when it is none; the media stay as they were.
        """
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            media = candidate.receive_answer(answer)
            self._negotiation, self._signalling_host = candidate, signalling_host
            self._configure(media)

    def _negotiate(self, address: str) -> Negotiation:
        session_id = self._random.randrange(1, 2**62)
        return Negotiation(
            address=address,
            port=self._port,
            codecs=self._codecs,
            session_id=session_id,
            srtp=self._srtp,
            random=self._random,
            fingerprint=self._certificate.fingerprint if self._certificate else "",
        )

    def _set_format(self, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._uplink = Uplink(audio_format, random=self._random)
        self._downlink = Downlink(audio_format)
        self._set_frame(FRAME_MS, 8000)

    def _set_frame(self, ms: int, clock_rate: int) -> None:
        self.frame_ms = ms
        self._frame_samples = ms * clock_rate // 1000
        self.silence = self.audio_format.silence_of(ms)

    def _configure(self, media: MediaParameters) -> None:
        if not self._is_format_settled:
            self._is_format_settled = True
            self._set_format(format_of(media.codec))
        self._set_frame(media.ptime_ms, media.clock_rate)
        self._media = media
        self._awaits_answer = False
        self._uplink.configure(self.encodings)
        self._downlink.configure(f"{media.codec}/{media.clock_rate}")
        self.is_held = media.direction in ("recvonly", "inactive")
        self._rtp.configure(
            RtpParameters(
                payload_type=media.payload_type,
                receive_payload_types={
                    number: PayloadFormat(clock_rate, COUNT_SAMPLES.get(codec, len))
                    for number, (codec, clock_rate) in media.receive_formats.items()
                },
                telephone_event=media.receive_telephone_events,
                comfort_noise=media.comfort_noise,
                remote=media.remote,
                remote_rtcp=media.remote_rtcp,
                frame_samples=self._frame_samples,
                clock_rate=media.clock_rate,
                rtcp_mux=media.rtcp_mux,
                send_telephone_event=media.telephone_event_payload_type,
                signalling_host=self._signalling_host,
                srtp=_protection(media.srtp),
                webrtc=_way(media.webrtc, self._certificate),
            )
        )

    # Media

    def receive_usual(self, data: bytes, source: Address, *, now: float) -> bytes:
        """Take a packet if it is the next one as it was to come, and return its audio in the call's format. Hot path.

        Of any other nothing is returned, and nothing done: it is for :meth:`receive_packet`.
        """
        uplink = self._uplink
        payload = self._rtp.receive_usual(data, source, uplink.plain_type, now=now)
        return uplink.pass_on(payload) if payload else payload

    def receive_packet(self, data: bytes, source: Address, *, now: float) -> Sequence[Frame]:
        """Take a packet; return the frames that may now be heard, in order."""
        if self._media is None:
            remember(self._early_packets, (data, source, now), EARLY_PACKETS)
            return ()
        frames = self._rtp.receive_packet(data, source, now=now)
        return self._uplink.receive(frames) if self._translates else frames

    def take_early(self, *, now: float) -> list[tuple[Frame, float]]:
        """Take what came just before the first agreement said from where it may come, each frame with its time.

        Who picks up speaks at once, and the packets of that overtake the answer, which goes another way.
        """
        packets, self._early_packets = self._early_packets, []
        for data, source, at in packets:
            if at >= now - EARLY_S and self._media is not None:
                self.keep_early(self.receive_packet(data, source, now=at), now=at)
        frames = [(frame, at) for frame, at in self._early_frames if at >= now - EARLY_S]
        self._early_frames.clear()
        return frames

    def keep_early(self, frames: Sequence[Frame], *, now: float) -> None:
        """Keep for :meth:`take_early` what came by an agreement before there was an answer to the call."""
        for frame in frames:
            remember(self._early_frames, (frame, now), EARLY_PACKETS)

    def take_released(self) -> Sequence[Frame]:
        """Take the frames that a timer let go of."""
        released = self._rtp.take_released()
        return self._uplink.receive(released) if self._translates else released

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take an RTCP packet."""
        self._rtp.receive_rtcp(data, source, now=now)

    def skip_frame(self) -> None:
        """Let the time of a frame pass without a packet."""
        self._rtp.skip(self._frame_samples)

    def send_frame(self, frame: bytes, *, marker: bool, now: float) -> bytes | None:
        """Make the packet of this tick, ``None`` while the peer does not listen; time goes on all the same."""
        if self._media is None or self.is_held:
            self.skip_frame()
            return None
        return self._rtp.next_packet(self._downlink.encode(frame), marker=marker, now=now)

    def poll(self) -> SendRtcp | DigitReceived | None:
        """Take an RTCP packet to send, or a digit that was pressed."""
        output = self._rtp.poll()
        if output is None or isinstance(output, DigitReceived):
            return output
        return SendRtcp(output.data, output.destination, output.mux)

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        return self._rtp.due_at

    @property
    def heard_at(self) -> float:
        """When the peer last gave a sign of life, by RTP or RTCP; 0 when it never did."""
        return max(self._rtp.heard_at or 0.0, self._rtp.rtcp_heard_at or 0.0)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        self._rtp.handle_timer(now=now)

    def press(self, digits: str) -> bool:
        """Press keys, in place of the audio of the next packets; ``False`` when they must go another way.

        :raises LocalProtocolError: for what is no key.
        """
        if not self._keys_in_rtp or self._media is None or self._media.telephone_event_payload_type is None:
            return False
        for digit in digits:
            self._rtp.send_digit(digit)
        return True

    def close(self, *, now: float) -> None:
        """Say good-bye in RTCP."""
        self._rtp.close(now=now)


def _way(terms: WebRtcTerms | None, certificate: Certificate | None) -> WebRtcParameters | None:
    if terms is None or certificate is None:
        return None
    ice = IceParameters(terms.ufrag, terms.password, terms.peer.ufrag)
    return WebRtcParameters(certificate, terms.peer.fingerprints, terms.is_client, ice)


def _protection(keys: SrtpKeys | None) -> SrtpParameters | None:
    return None if keys is None else SrtpParameters(keys.suite, keys.send_key, keys.receive_key)
