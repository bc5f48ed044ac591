"""A call: the only place where SIP, RTP and the model meet."""
