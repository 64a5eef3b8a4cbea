"""Limits and throttles of accounts."""
