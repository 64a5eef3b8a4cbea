"""The node's own log: lines for programs, and lines for people."""

import json
import os

from cumulet.gateway.nodelog import LineWriter, as_text

REQUEST = {
    "time_ms": 1_700_000_000_123,
    "level": "INFO",
    "logger": "cumulet.access",
    "method": "POST",
    "path": "/x",
    "service": "lambda",
    "operation": "Invoke",
    "status": 200,
    "ms": 12.379,
}


def lines_of(fields, **options):
    reader, writer = os.pipe()
    lines = LineWriter(writer, **options)
    lines.write(fields)
    lines.flush()
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        return file.read().decode().splitlines()


def test_programs_read_one_json_object_a_line():
    assert [json.loads(line) for line in lines_of(REQUEST)] == [REQUEST]


def test_people_read_what_was_asked_and_how_it_went():
    (line,) = lines_of(REQUEST, render=as_text)
    assert line.endswith(".123 200 POST lambda:Invoke 12.4 ms")


def test_a_request_of_no_service_is_told_by_its_path():
    (line,) = lines_of(REQUEST | {"service": "", "operation": ""}, render=as_text)
    assert "POST /x 12.4 ms" in line


def test_what_clients_send_is_no_command_to_the_terminal():
    (line,) = lines_of({"time_ms": 0, "level": "WARNING", "message": "bad \x1b[31m name"}, render=as_text)
    assert line.endswith("WARNING bad ?[31m name")
