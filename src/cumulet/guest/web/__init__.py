"""Whole web applications in an environment: HTTP events become requests to them, and their responses the function's answers."""
