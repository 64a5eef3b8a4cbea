"""The wall around user code: a Jail is plain data, enter(jail) walks into it, one kernel facility a file.

Standard library only, Python 3.8 or later: it runs in whatever interpreter becomes the user's process.
"""
