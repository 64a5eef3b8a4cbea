"""Loops that turn waiting work into invocations."""
