"""Health, readiness, metrics and calls to be made over HTTP; what becomes of calls and registrations, in log and figures."""
