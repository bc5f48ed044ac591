"""SDP: the description (RFC 8866) and the offer/answer negotiation (RFC 3264)."""
