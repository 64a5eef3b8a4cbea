"""Functions on a real node, for tests of what leads to them."""

import io
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
ECHO = """\
import json
def handler(event, context):
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
"""


def zip_of(text: str) -> bytes:
    """An archive whose module `index` has that text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), text)
    return buffer.getvalue()


@pytest.fixture
def function(node: Any, name: str) -> Callable[..., str]:
    """Makes functions; each call gives an ARN."""
    count = iter(range(100))

    def make(text: str = ECHO, **more: Any) -> str:
        made = node.client("lambda").create_function(
            FunctionName=f"{name}-{next(count)}", Runtime=PYTHON, Handler="index.handler", Role=ROLE,
            Code={"ZipFile": zip_of(text)}, **more,
        )  # fmt: skip
        return str(made["FunctionArn"])

    return make
