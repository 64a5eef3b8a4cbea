"""What can be wrong with code: each gives Lambda's own error, and the next call works."""

import io
import json
import struct
import sys
import zipfile

import pytest
from botocore.exceptions import ClientError

PYTHON = f"python3.{sys.version_info.minor}"
GOOD = "def handler(event, context):\n    return 'well'\n"


def _zip(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.py"), text)
    return buffer.getvalue()


def _entry(name: str, data: bytes = b"x", mode: int = 0o100644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, data)
    return buffer.getvalue()


def _encrypted() -> bytes:
    """A good archive whose flags say that its entry is encrypted."""
    data = bytearray(_zip(index=GOOD))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        struct.pack_into("<H", data, at, struct.unpack_from("<H", data, at)[0] | 1)
    return bytes(data)


def _bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w", force_zip64=True) as entry:
        for _ in range(300):
            entry.write(bytes(1 << 20))
    return buffer.getvalue()


BAD_ARCHIVES = {
    "garbage": b"this is no archive",
    "empty": b"",
    "slip": _entry("../../etc/passwd"),
    "absolute": _entry("/etc/passwd"),
    "symlink out": _entry("link", b"/etc/passwd", 0o120777),
    "encrypted": _encrypted(),
    "truncated": _zip(index=GOOD)[:-30],
    "bomb": _bomb(),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_a_bad_archive_is_refused_and_leaves_nothing(node, kind):
    lambdas = node.client("lambda")
    name = "bad-" + kind.replace(" ", "-")
    with pytest.raises(ClientError) as refused:
        lambdas.create_function(
            FunctionName=name,
            Runtime=PYTHON,
            Handler="index.handler",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": BAD_ARCHIVES[kind]},
        )
    assert refused.value.response["Error"]["Code"] in ("InvalidParameterValueException", "ValidationException")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(lambdas.exceptions.ResourceNotFoundException):
        lambdas.get_function(FunctionName=name)


BAD_CODE = {
    "no such module": ({"other": GOOD}, "index.handler", {}, "Runtime.ImportModuleError", "Unable to import module 'index'"),
    "no such handler": (
        {"index": "x = 1\n"},
        "index.handler",
        {},
        "Runtime.HandlerNotFound",
        "Handler 'handler' missing on module 'index'",
    ),
    "malformed handler": ({"index": GOOD}, "index", {}, "Runtime.MalformedHandlerName", "Bad handler 'index'"),
    "syntax error": (
        {"index": "def handler(:\n"},
        "index.handler",
        {},
        "Runtime.UserCodeSyntaxError",
        "Syntax error in module 'index'",
    ),
    "import raises": ({"index": "raise ValueError('at import')\n"}, "index.handler", {}, "ValueError", "at import"),
    "handler raises": ({"index": "def handler(e, c):\n    raise KeyError('gone')\n"}, "index.handler", {}, "KeyError", "'gone'"),
    "unserialisable": (
        {"index": "def handler(e, c):\n    return object()\n"},
        "index.handler",
        {},
        "Runtime.MarshalError",
        "Unable to marshal response",
    ),
    "timeout": (
        {"index": "import time\ndef handler(e, c):\n    time.sleep(30)\n"},
        "index.handler",
        {"Timeout": 1},
        "Sandbox.Timedout",
        "Task timed out after 1.00 seconds",
    ),
    "exit": (
        {"index": "import os\ndef handler(e, c):\n    os._exit(3)\n"},
        "index.handler",
        {},
        "Runtime.ExitError",
        "exit status 3",
    ),
    "crash": (
        {"index": "import ctypes\ndef handler(e, c):\n    ctypes.string_at(0)\n"},
        "index.handler",
        {},
        "Runtime.ExitError",
        "signal: segmentation fault",
    ),
    "out of memory": (
        {"index": "def handler(e, c):\n    return len(bytearray(600 << 20))\n"},
        "index.handler",
        {"MemorySize": 128},
        None,
        "signal: killed",
    ),
}


@pytest.mark.parametrize("kind", BAD_CODE)
def test_bad_code_gives_its_error_and_the_next_call_works(node, kind):
    files, handler, settings, error_type, message = BAD_CODE[kind]
    lambdas = node.client("lambda")
    name = "bad-" + kind.replace(" ", "-")
    lambdas.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler=handler,
        Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": _zip(**files)},
        **settings,
    )
    for _ in range(2):
        answer = lambdas.invoke(FunctionName=name)
        document = json.loads(answer["Payload"].read())
        assert answer["StatusCode"] == 200
        assert answer["FunctionError"] == "Unhandled"
        assert error_type in (None, document["errorType"]), document
        assert message in document["errorMessage"], document

    lambdas.update_function_code(FunctionName=name, ZipFile=_zip(index=GOOD))
    lambdas.update_function_configuration(FunctionName=name, Handler="index.handler")
    answer = lambdas.invoke(FunctionName=name)
    assert json.loads(answer["Payload"].read()) == "well"


def test_payloads_beyond_the_limits_and_wrong_types_are_refused(node):
    lambdas = node.client("lambda")
    lambdas.create_function(
        FunctionName="limits",
        Runtime=PYTHON,
        Handler="index.handler",
        Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": _zip(index="def handler(e, c):\n    return 'x' * e['size']\n")},
    )
    with pytest.raises(ClientError) as refused:
        lambdas.invoke(FunctionName="limits", Payload=b'"' + b"x" * (6 << 20) + b'"')
    assert refused.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    with pytest.raises(ClientError) as refused:
        lambdas.invoke(FunctionName="limits", Payload=b"{not json")
    assert refused.value.response["Error"]["Code"] == "InvalidRequestContentException"

    answer = lambdas.invoke(FunctionName="limits", Payload=b'{"size": 7000000}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "Function.ResponseSizeTooLarge"
    assert json.loads(lambdas.invoke(FunctionName="limits", Payload=b'{"size": 3}')["Payload"].read()) == "xxx"
