"""A SIP and RTP endpoint for voice models."""
