from sipagent.audio.resample import _weights
from sipagent.call.rehearsal import rehearse
from sipagent.sdp.negotiation import DEFAULT_CODECS


def test_filters_are_made_once_and_before_the_first_call() -> None:
    rehearse((*DEFAULT_CODECS, "L16"))
    made = _weights.cache_info().misses
    rehearse((*DEFAULT_CODECS, "L16"))
    assert _weights.cache_info().misses == made
