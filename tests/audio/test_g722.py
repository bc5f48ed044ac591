"""G.722 against the ITU's test sequences and against the recommendation written out (``itu_g722``).

The sequences pass by the band filters, and the package has no such way in. What it has is an 8 kHz mode, which is the
lower band bare: there all of it is compared directly, both ways and in every mode. The higher band is compared through
the filters: what the package decodes is what the reference's two bands make in the receive filter. The oracle does the
sequences in full, eleven of eleven, and the package agrees with the oracle on whatever sound.

Words of the sequences are 16 bits, big-endian; the last bit of one asks for a reset.
"""

from pathlib import Path

import numpy as np
import pytest
from audio import itu_g722
from numpy.typing import NDArray

from sipagent.audio.g711 import Pcm, to_pcm
from sipagent.audio.g722 import HAS_G722, G722Codec
from sipagent.errors import LocalProtocolError

if HAS_G722:
    import G722

pytestmark = pytest.mark.skipif(not HAS_G722, reason="needs the extra g722")

ENCODED = {"bt1c1.xmt": "bt2r1.cod", "bt1c2.xmt": "bt2r2.cod"}
DECODED = {"bt2r1.cod": "1", "bt2r2.cod": "2", "bt1d3.cod": "3"}
MODES = {1: 64_000, 2: 56_000, 3: 48_000}
"""Bits a second; the codes of modes 2 and 3 come without their last one and two bits."""


@pytest.fixture(scope="session")
def sequences(corpora: Path) -> Path:
    path = corpora / "g722"
    if not path.is_dir():
        pytest.skip("no ITU sequences of G.722 among the corpora")
    return path


def words(path: Path) -> NDArray[np.int16]:
    """Read a sequence without the stretches in which the coder is held in reset."""
    content = np.fromfile(path, ">i2").astype(np.int16)
    live = np.flatnonzero(content & 1 == 0)
    assert np.all(np.diff(live) == 1)  # one stretch: so a new coder is all the reset that is needed
    return content[live]


def codes(path: Path) -> bytes:
    return (words(path) >> 8).astype(np.uint8).tobytes()


def sounds() -> dict[str, Pcm]:
    """Return half seconds of 16 kHz: soft, loud, clipped, bare extremes."""
    time = np.arange(8_000) / 16_000
    noise = np.random.default_rng(722)
    return {
        "tones": to_pcm(9_000 * np.sin(2 * np.pi * 440 * time) + 4_000 * np.sin(2 * np.pi * 6_100 * time)),
        "sweep": to_pcm(30_000 * np.sin(2 * np.pi * 8_000 * time**2)),
        "noise": noise.integers(-32_768, 32_768, 8_000).astype(np.int16),
        "whisper": noise.integers(-3, 4, 8_000).astype(np.int16),
        "square": np.where(np.arange(8_000) // 37 % 2, 32_767, -32_768).astype(np.int16),
        "bursts": to_pcm(noise.normal(0, 12_000, 8_000) * (np.arange(8_000) // 800 % 2)),
    }


@pytest.mark.parametrize("sound", sounds())
def test_exact_with_the_recommendation_on_sound(sound: str) -> None:
    pcm = sounds()[sound]
    codec = G722Codec()
    encoded = codec.encode(pcm)
    assert encoded == itu_g722.encode(pcm)
    assert np.array_equal(codec.decode(encoded), itu_g722.decode(encoded))


def test_exact_with_the_recommendation_on_any_code() -> None:
    anything = np.random.default_rng(1).integers(0, 256, 5_000).astype(np.uint8).tobytes()
    assert np.array_equal(G722Codec().decode(anything), itu_g722.decode(anything))


@pytest.mark.parametrize("sequence", ENCODED)
def test_the_oracle_encodes_the_sequences(sequences: Path, sequence: str) -> None:
    coder = itu_g722.BandCoder()
    encoded = bytes(coder.encode(x, x) for x in (words(sequences / sequence) >> 1).tolist())
    assert encoded == codes(sequences / ENCODED[sequence])


@pytest.mark.parametrize("sequence", DECODED)
def test_the_oracle_decodes_the_sequences(sequences: Path, sequence: str) -> None:
    coder = itu_g722.BandCoder()
    bands = np.array([coder.decode(code) for code in codes(sequences / sequence)]) << 1
    number = DECODED[sequence]
    for mode in MODES:
        assert np.array_equal(bands[:, mode - 1], words(sequences / f"bt3l{number}.rc{mode}"))
    assert np.array_equal(bands[:, 3], words(sequences / f"bt3h{number}.rc0"))


@pytest.mark.parametrize("sequence", ENCODED)
def test_the_lower_band_is_encoded_exactly(sequences: Path, sequence: str) -> None:
    encoded = G722.G722(8_000, MODES[1]).encode(words(sequences / sequence))
    lower = np.frombuffer(encoded, np.uint8) & 0x3F
    assert np.array_equal(lower, np.frombuffer(codes(sequences / ENCODED[sequence]), np.uint8) & 0x3F)


@pytest.mark.parametrize("sequence", DECODED)
@pytest.mark.parametrize("mode", MODES)
def test_the_lower_band_is_decoded_exactly(sequences: Path, sequence: str, mode: int) -> None:
    shortened = bytes(code >> mode - 1 for code in codes(sequences / sequence))
    decoded = np.array(G722.G722(8_000, MODES[mode]).decode(shortened), np.int16)
    assert np.array_equal(decoded, words(sequences / f"bt3l{DECODED[sequence]}.rc{mode}"))


@pytest.mark.parametrize("sequence", DECODED)
@pytest.mark.parametrize("mode", MODES)
def test_both_bands_are_decoded_exactly_through_the_receive_filter(sequences: Path, sequence: str, mode: int) -> None:
    number = DECODED[sequence]
    names = (f"bt3l{number}.rc{mode}", f"bt3h{number}.rc0")
    bands = np.stack([words(sequences / name).astype(np.int64) >> 1 for name in names], axis=1)
    shortened = bytes(code >> mode - 1 for code in codes(sequences / sequence))
    decoded = np.array(G722.G722(16_000, MODES[mode]).decode(shortened), np.int16)
    assert np.array_equal(decoded, itu_g722.join(bands))


def test_cuts_leave_no_trace() -> None:
    pcm = sounds()["tones"]
    whole, cut = G722Codec(), G722Codec()
    encoded = [cut.encode(pcm[at : at + 320]) for at in range(0, len(pcm), 320)]
    assert b"".join(encoded) == whole.encode(pcm)
    decoded = np.concatenate([cut.decode(payload) for payload in encoded])
    assert np.array_equal(decoded, whole.decode(b"".join(encoded)))


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="319"):
        G722Codec().encode(np.zeros(319, np.int16))
