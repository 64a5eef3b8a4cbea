"""Live WebSocket connections as their API's owner manages them: API Gateway's management API."""
