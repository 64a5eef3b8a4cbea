"""The command line: talks HTTP to the public API like any client."""
