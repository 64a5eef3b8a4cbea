"""HTTP APIs and WebSocket APIs: the control plane of API Gateway, version 2."""
