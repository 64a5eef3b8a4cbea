"""Sockets, HTTP, one literal list of request steps, and routing."""
