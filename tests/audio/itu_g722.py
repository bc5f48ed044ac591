"""G.722 sample by sample, as ITU-T G.722 writes it down: the oracle that the codec in use is compared with.

Blocks and tables bear the recommendation's names. It is itself held to the ITU's test sequences, which pass by the band
filters, and it is a hundred times too slow for a call. Numbers are whole, shifts round down, ``>> 15`` is a product of
fractions.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Q6 = (0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
      1458, 1612, 1765, 1980, 2195, 2557, 2919)  # fmt: skip
"""Decision levels of the lower band's 60 intervals, half of them."""
Q2 = 564
"""The higher band's one decision level."""
QM6 = (-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
       -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
       -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
       4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136)  # fmt: skip
QM5 = (-280, -280, -23352, -17560, -14120, -11664, -9752, -8184, -6864, -5712, -4696, -3784, -2960, -2208, -1520, -880,
       23352, 17560, 14120, 11664, 9752, 8184, 6864, 5712, 4696, 3784, 2960, 2208, 1520, 880, 280, -280)  # fmt: skip
QM4 = (0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0)
QM2 = (-7408, -1616, 7408, 1616)
WL = (-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60)
"""What each 4-bit code of the lower band adds to the logarithm of its scale."""
WH = (798, -214, 798, -214)
ILB = (2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
       3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008)  # fmt: skip
QMF = np.array([3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876,
                3876, 951, -805, -210, 362, 32, -156, 12, 53, -11, -11, 3])  # fmt: skip
"""The band filter, times 8,192."""


def sat(value: int) -> int:
    return max(-32_768, min(32_767, value))


def limit(value: int) -> int:
    """Block 6L, 6H: what a band holds has 15 bits."""
    return max(-16_384, min(16_383, value))


@dataclass
class Band:
    """Blocks 2 to 4 of one band: its scale, and what it predicts from two poles and six zeros."""

    det: int
    nb_limit: int
    scale_shift: int
    s: int = 0
    nb: int = 0
    sz: int = 0
    a: list[int] = field(default_factory=lambda: [0, 0])
    b: list[int] = field(default_factory=lambda: [0] * 6)
    d: list[int] = field(default_factory=lambda: [0] * 6)
    p: list[int] = field(default_factory=lambda: [0, 0])
    r: list[int] = field(default_factory=lambda: [0])

    def adapt(self, weight: int, d0: int) -> None:
        """Take the difference in, and its code's weight on the scale."""
        self.nb = max(0, min(self.nb_limit, (self.nb * 127 >> 7) + weight))  # LOGSCL, LOGSCH
        shift = self.scale_shift - (self.nb >> 11)
        mantissa = ILB[self.nb >> 6 & 31]
        self.det = (mantissa >> shift if shift >= 0 else mantissa << -shift) << 2  # SCALEL, SCALEH
        self._predict(d0)

    def _predict(self, d0: int) -> None:
        r0 = sat(self.s + d0)  # RECONS
        p0 = sat(self.sz + d0)  # PARREC
        alike = [(p0 < 0) == (p < 0) for p in self.p]
        first = sat(self.a[0] << 2)
        second = (min(32_767, -first if alike[0] else first) >> 7) + (128 if alike[1] else -128)
        a2 = max(-12_288, min(12_288, second + (self.a[1] * 32_512 >> 15)))  # UPPOL2
        a1 = sat((192 if alike[0] else -192) + (self.a[0] * 32_640 >> 15))
        bound = sat(15_360 - a2)
        self.a = [max(-bound, min(bound, a1)), a2]  # UPPOL1
        step = 128 if d0 else 0
        self.b = [
            sat((step if (d < 0) == (d0 < 0) else -step) + (b * 32_640 >> 15))
            for b, d in zip(self.b, self.d, strict=True)
        ]  # UPZERO
        self.d = [d0, *self.d[:5]]
        self.p = [p0, self.p[0]]
        self.r = [r0, *self.r[:1]]
        sp = sat(sum(a * sat(2 * r) >> 15 for a, r in zip(self.a, self.r, strict=False)))  # FILTEP
        self.sz = sat(sum(b * sat(2 * d) >> 15 for b, d in zip(self.b, self.d, strict=True)))  # FILTEZ
        self.s = sat(sp + self.sz)  # PREDIC


def lower_band() -> Band:
    return Band(det=32, nb_limit=18_432, scale_shift=8)


def higher_band() -> Band:
    return Band(det=8, nb_limit=22_528, scale_shift=10)


class BandCoder:
    """Both bands of one direction, without the filters that make them."""

    def __init__(self) -> None:
        self.lower = lower_band()
        self.higher = higher_band()

    def encode(self, xl: int, xh: int) -> int:
        """Return the byte for one sample of each band."""
        el = sat(xl - self.lower.s)
        wd = el if el >= 0 else -(el + 1)
        mil = next((i for i in range(1, 30) if wd < Q6[i] * self.lower.det >> 12), 30)  # QUANTL
        il = (64 - mil if mil < 3 else 34 - mil) if el < 0 else 62 - mil
        self._adapt_lower(il)
        eh = sat(xh - self.higher.s)
        wd = eh if eh >= 0 else -(eh + 1)
        outer = wd >= Q2 * self.higher.det >> 12  # QUANTH
        ih = (0 if outer else 1) if eh < 0 else (2 if outer else 3)
        self._adapt_higher(ih)
        return ih << 6 | il

    def decode(self, code: int) -> tuple[int, int, int, int]:
        """Return one sample of the lower band, for each of the three modes, and one of the higher.

        Modes 2 and 3 have lost one and two bits of the lower band's code, which the prediction never looks at.
        """
        il, ih = code & 0x3F, code >> 6
        s, det = self.lower.s, self.lower.det
        rl1, rl2, rl3 = (limit(s + (det * fine >> 15)) for fine in (QM6[il], QM5[il >> 1], QM4[il >> 2]))  # INVQBL
        self._adapt_lower(il)
        rh = limit(self.higher.s + (self.higher.det * QM2[ih] >> 15))
        self._adapt_higher(ih)
        return rl1, rl2, rl3, rh

    def _adapt_lower(self, il: int) -> None:
        self.lower.adapt(WL[il >> 2], self.lower.det * QM4[il >> 2] >> 15)  # INVQAL

    def _adapt_higher(self, ih: int) -> None:
        self.higher.adapt(WH[ih], self.higher.det * QM2[ih] >> 15)  # INVQAH


def encode(pcm: NDArray[np.int16]) -> bytes:
    """Return the code of a whole signal of 16 kHz."""
    coder = BandCoder()
    return bytes(coder.encode(xl, xh) for xl, xh in split(pcm).tolist())


def decode(codes: bytes) -> NDArray[np.int16]:
    """Return the signal of 16 kHz that a whole code stands for, in mode 1."""
    coder = BandCoder()
    return join(np.array([coder.decode(code) for code in codes])[:, [0, 3]])


def split(pcm: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the lower and the higher band, a row for two samples: the transmit QMF."""
    odd, even = _halves(pcm.astype(np.int64))
    return np.stack([even + odd, even - odd], axis=1) >> 14


def join(bands: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return two samples for a row of the lower and the higher band: the receive QMF."""
    rl, rh = bands.T
    odd, even = _halves(np.stack([rl + rh, rl - rh], axis=1).ravel())
    return (np.stack([even, odd], axis=1).ravel() >> 11).clip(-32_768, 32_767).astype(np.int16)


def _halves(x: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sums over the band filter's odd and even places, for every second sample."""
    windows = sliding_window_view(np.concatenate([np.zeros(22, np.int64), x]), 24)[::2]
    return windows[:, ::2] @ QMF[::2], windows[:, 1::2] @ QMF[1::2]
