"""SIP: RFC 3261 and company. It carries session descriptions as opaque bytes."""
