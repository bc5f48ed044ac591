"""Health, readiness, metrics and orders for calls over HTTP; and what becomes of calls and lines, in the log."""
