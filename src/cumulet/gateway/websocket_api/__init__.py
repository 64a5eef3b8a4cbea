"""WebSocket APIs: what API Gateway version 2 does with connections and their messages."""
