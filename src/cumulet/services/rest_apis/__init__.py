"""API Gateway's REST APIs: the control plane. What is deployed is told to whoever serves it; nothing here sees its requests."""
