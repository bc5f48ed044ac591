"""What a crowd of delays comes to: milliseconds that half, 95, 99 and 99.9 of a hundred stay within."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Tail:
    """Percentiles, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: ArrayLike) -> "Tail | None":
        """Sum up some seconds; ``None`` when there are none."""
        given = np.asarray(seconds, np.float64)
        if not given.size:
            return None
        values = np.percentile(given, (50, 95, 99, 99.9, 100)) * 1000
        return cls(given.size, *(float(value) for value in values))
