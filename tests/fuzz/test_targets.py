"""Hypothesis lets every target of :mod:`fuzz.targets` have what it begins with, and that with damage."""

from random import Random

import pytest
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SEEDS = {name: list(target.seeds()) for name, target in TARGETS.items()}
WORDS = [b"\r\n", b"\r", b"\n", b"\0", b'"', b"\\", b"<", b">", b";", b",", b":", b"=", b"%", b" ", b"\t", b"[", b"("]
WORDS += [b"-1", b"99999999999999999999", b"\r\n ", b"\xff", b"SIP/2.0", b"\n%%\nd", b"\r\nContent-Length: 0"]
WORDS += [b";tag=", b";branch="]


def damage(seed: bytes, others: list[bytes], random: Random) -> bytes:
    """Cut, double, swap and overwrite here and there."""
    data = bytearray(seed)
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice([0, 1, 1, 2, 8, 40]))
        match random.randint(0, 4):
            case 0:
                data[at:end] = random.choice(WORDS)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end] * random.choice([1, 2, 50])
            case 3:
                data[at:end] = random.randbytes(end - at)
            case 4:
                other = random.choice(others)
                cut = random.randint(0, len(other))
                data[at:end] = other[cut : cut + 200]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_it_begins_with(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
@given(number=st.integers(0, 10**6), random=st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_with_damage(name: str, number: int, random: Random) -> None:
    seeds = SEEDS[name]
    TARGETS[name].run(damage(seeds[number % len(seeds)], seeds, random))


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=300))
@settings(max_examples=50)
def test_any_octets(name: str, data: bytes) -> None:
    TARGETS[name].run(data)
