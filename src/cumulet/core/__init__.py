"""The words that all parts share. Imports nothing of Cumulet."""
