"""What a zygote imports ahead, so that no environment pays for it: the runtime itself, and what most handlers import."""


def load() -> None:
    import base64  # noqa: F401
    import collections  # noqa: F401
    import copy  # noqa: F401
    import datetime  # noqa: F401
    import decimal  # noqa: F401
    import functools  # noqa: F401
    import hashlib  # noqa: F401
    import importlib.util  # noqa: F401
    import inspect  # noqa: F401
    import json.decoder  # noqa: F401
    import logging  # noqa: F401
    import math  # noqa: F401
    import random  # noqa: F401
    import re  # noqa: F401
    import site
    import tempfile  # noqa: F401
    import threading  # noqa: F401
    import time  # noqa: F401
    import traceback  # noqa: F401
    import typing  # noqa: F401
    import urllib.parse  # noqa: F401
    import uuid  # noqa: F401

    from cumulet.guest import concurrent, context, errors, frames, handler, logs, python_runtime, snapshot, streaming  # noqa: F401
    from cumulet.guest.web import applications, asgi, calls, events, http1, program, relay, wsgi  # noqa: F401

    # The interpreter was started without `site`, to keep the machine's packages out; people still expect exit() and help().
    site.setquit()
    site.sethelper()
