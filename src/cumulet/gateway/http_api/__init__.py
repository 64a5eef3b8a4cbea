"""The data plane of HTTP APIs: what a deployed one makes of a request."""
