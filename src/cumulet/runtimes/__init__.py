"""How code of one language becomes a process that asks for events."""
