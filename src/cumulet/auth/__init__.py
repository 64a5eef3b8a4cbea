"""Signatures, credentials and tokens: who is asking."""
