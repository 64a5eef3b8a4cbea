"""Python functions in real environments."""

import json

import pytest

from cumulet.runtimes.contract import EnvironmentLost, InitError

HELLO = {"index.py": "def handler(event, context):\n    return event\n"}


async def test_an_environment_answers_call_after_call(bench):
    environment = await bench.start(
        {"index.py": "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return [n, event]\n"}
    )
    for n in range(1, 4):
        answer = await bench.call(environment, json.dumps({"call": n}).encode())
        assert json.loads(answer.payload) == [n, {"call": n}]
    assert set(environment.phases) == {"prepare", "fork", "jail", "init"}
    assert environment.max_memory_mb(1.0) > 0


async def test_the_context_is_complete(bench):
    code = """
def handler(event, context):
    return {
        "id": context.aws_request_id, "name": context.function_name, "version": context.function_version,
        "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb, "group": context.log_group_name,
        "stream": context.log_stream_name, "left": 0 < context.get_remaining_time_in_millis() <= 5000,
        "client": [context.client_context.custom, context.client_context.client.app_title],
        "identity": context.identity.cognito_identity_id,
    }
"""
    environment = await bench.start({"index.py": code})
    client = json.dumps({"custom": {"a": 1}, "client": {"app_title": "t"}})
    told = json.loads((await bench.call(environment, client_context=client)).payload)
    assert told["name"] == "f" and told["version"] == "$LATEST" and told["memory"] == "256" and told["group"] == "/aws/lambda/f"
    assert told["arn"].endswith(":function:f") and told["left"] is True
    assert told["client"] == [{"a": 1}, "t"] and told["identity"] is None


async def test_output_of_a_call_is_there_when_it_answers(bench):
    code = """
import sys, logging
def handler(e, c):
    print('out')
    print('err', file=sys.stderr)
    logging.getLogger().warning('logged')
"""
    answer = await bench.run({"index.py": code})
    assert answer.payload == b"null"
    lines = bench.output.decode().splitlines()
    assert lines[:2] == ["out", "err"]
    assert lines[2].startswith("[WARNING]\t") and lines[2].endswith("\tlogged")


async def test_an_error_with_its_stack_is_one_record(bench):
    code = """
import logging
def handler(e, c):
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception('a\\nb')
    raise ValueError('no')
"""
    await bench.run({"index.py": code})
    logged, raised = bench.output.replace(b"\0\n", b"|").decode().splitlines()
    assert logged.startswith("[ERROR]\t") and "\ta|b|" in logged and logged.endswith("|ZeroDivisionError: division by zero")
    assert (
        raised.startswith("[ERROR] ValueError: no|Traceback (most recent call last):|  File ")
        and "raise ValueError('no')" in raised
    )


async def test_json_records_have_lambdas_form(bench):
    code = """
import logging
logger = logging.getLogger("mine")
def handler(e, c):
    logger.warning({"a": "\u00e9"})
    logger.error("%s of %d", "one", 2, extra={"order": 7})
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("caught")
"""
    await bench.run({"index.py": code}, log_format="JSON")
    record, extra, caught = [json.loads(line) for line in bench.output.decode().splitlines()]
    assert (record["level"], record["message"], record["logger"]) == ("WARNING", {"a": "\u00e9"}, "mine")
    assert (extra["message"], extra["order"]) == ("one of 2", 7) and extra["requestId"]
    assert (caught["errorType"], caught["errorMessage"]) == ("ZeroDivisionError", "division by zero")
    assert (
        len(caught["stackTrace"]) == 1 and "1 / 0" in caught["stackTrace"][0] and caught["location"].endswith("index.py:handler:10")
    )


async def test_an_error_is_a_document_where_logs_are_json(bench):
    answer = await bench.run({"index.py": "def handler(e, c):\n    raise ValueError('no')\n"}, log_format="JSON")
    logged = json.loads(bench.output)
    assert logged.pop("timestamp").endswith("Z") and logged.pop("level") == "ERROR" and logged == json.loads(answer.payload)


@pytest.mark.parametrize("handler", ["plain", "generator", "coroutine", "generator_too"])
async def test_a_stack_begins_with_the_users_own_code(bench, handler):
    code = """
def plain(e, c):
    raise ValueError('no')
def generator(e, c):
    yield 'x'
    raise ValueError('no')
async def coroutine(e, c):
    raise ValueError('no')
async def generator_too(e, c):
    yield 'x'
    raise ValueError('no')
"""
    environment = await bench.start({"index.py": code}, handler=f"index.{handler}")
    answer = await bench.call(environment)
    (frame,) = json.loads(answer.payload)["stackTrace"]
    assert frame.startswith('  File "/var/task/index.py", line ') and "raise ValueError('no')" in frame


async def test_variables_and_paths_are_lambdas(bench):
    code = "import os, sys\ndef handler(e, c):\n    return [dict(os.environ), sys.path, os.getcwd()]\n"
    environ, path, cwd = json.loads(
        (await bench.run({"index.py": code}, environment={"MINE": "1", "AWS_REGION": "elsewhere"})).payload
    )
    assert environ["MINE"] == "1" and environ["AWS_REGION"] == "us-east-1" and environ["AWS_ACCESS_KEY_ID"] == "AKID"
    assert environ["_HANDLER"] == "index.handler" and environ["LAMBDA_TASK_ROOT"] == cwd == "/var/task"
    assert path[0] == "/var/task" and path.index("/opt/python") < path.index("/var/runtime")
    assert not [entry for entry in path if "site-packages" in entry and not entry.startswith("/opt")]


async def test_layers_and_the_functions_own_copy_win_in_lambdas_order(bench):
    layers = [
        {"python/where.py": "PLACE = 'first layer'\n", "python/first.py": ""},
        {"python/where.py": "PLACE = 'second layer'\n"},
    ]
    files = {"index.py": "import first, where\ndef handler(e, c):\n    return where.PLACE\n"}
    assert (await bench.run(files, layers=layers)).payload == b'"second layer"'
    assert (await bench.run(files | {"where.py": "PLACE = 'own'\n"}, layers=layers)).payload == b'"own"'


async def test_randomness_differs_between_environments(bench):
    code = "import random, uuid, os\ndef handler(e, c):\n    return [random.random(), str(uuid.uuid4()), os.urandom(8).hex()]\n"
    files = {"index.py": code}
    answers = [json.loads((await bench.run(files)).payload) for _ in range(5)]
    assert all(len({answer[at] for answer in answers}) == 5 for at in range(3))


@pytest.mark.parametrize(
    ("files", "handler", "error_type"),
    [
        ({"other.py": ""}, "index.handler", "Runtime.ImportModuleError"),
        ({"index.py": ""}, "index.handler", "Runtime.HandlerNotFound"),
        ({"index.py": ""}, "index", "Runtime.MalformedHandlerName"),
        ({"index.py": "def ("}, "index.handler", "Runtime.UserCodeSyntaxError"),
        ({"index.py": "1 / 0"}, "index.handler", "ZeroDivisionError"),
        ({"index.py": "import os; os._exit(3)"}, "index.handler", "Runtime.ExitError"),
    ],
)
async def test_a_failing_init_says_why(bench, files, handler, error_type):
    with pytest.raises(InitError) as failed:
        await bench.start(files, handler=handler)
    assert failed.value.error_type == error_type


async def test_an_init_that_takes_too_long_is_ended(bench):
    with pytest.raises(InitError) as failed:
        await bench.start({"index.py": "import time; time.sleep(60)"}, init_timeout_s=0.5)
    assert failed.value.error_type == "Sandbox.Timedout"


@pytest.mark.parametrize(
    ("code", "code_or_signal"),
    [
        ("import os; os._exit(7)", (7, None)),
        ("import sys; sys.exit(4)", (4, None)),
        ("import ctypes; ctypes.string_at(0)", (None, 11)),
        ("import os; os.abort()", (None, 6)),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", (None, 9)),
    ],
)
async def test_the_end_of_an_environment_is_told_as_it_happened(bench, code, code_or_signal):
    environment = await bench.start({"index.py": f"def handler(e, c):\n    {code}\n"})
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(environment)
    assert (lost.value.exit.code, lost.value.exit.signal) == code_or_signal


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"garbage that is no frame",
        b"\x02\x7f\xff\xff\xff\x7f\xff\xff\xff",
        b"\x02\x00\x00\x00\x02\x00\x00\x00\x00{}",
        b"\x02\x00\x00",
    ],
)
async def test_a_runtime_that_breaks_the_protocol_is_ended(bench, bytes_sent):
    code = f"import os, time\ndef handler(e, c):\n    os.write(3, {bytes_sent!r})\n    os.close(3)\n    time.sleep(30)\n"
    environment = await bench.start({"index.py": code})
    with pytest.raises(EnvironmentLost):
        await bench.call(environment)
    assert environment.exited.done()
    assert (await bench.run(HELLO, b"[1]")).payload == b"[1]"


async def test_an_answer_to_another_request_is_not_believed(bench):
    head = b'{"request_id": "other"}'
    frame = b"\x02" + len(head).to_bytes(4, "big") + (2).to_bytes(4, "big") + head + b"{}"
    environment = await bench.start(
        {"index.py": f"import os, time\ndef handler(e, c):\n    os.write(3, {frame!r})\n    time.sleep(30)\n"}
    )
    with pytest.raises(EnvironmentLost):
        await bench.call(environment)


async def test_memory_beyond_the_limit_ends_the_environment(bench):
    environment = await bench.start({"index.py": "def handler(e, c):\n    return len(bytearray(500 << 20))\n"}, memory_mb=128)
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(environment)
    assert lost.value.exit.is_out_of_memory


async def test_kill_takes_the_whole_tree(bench):
    code = """
import os, time
def handler(e, c):
    for _ in range(5):
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
"""
    environment = await bench.start({"index.py": code})
    assert len(json.loads((await bench.call(environment)).payload)) >= 7
    environment.kill()
    await environment.exited


async def test_a_runtime_version_that_is_not_here_runs_on_the_nearest_and_says_so(bench):
    from cumulet.runtimes import discovery

    missing = [name for name in discovery.PYTHON_RUNTIMES if int(name.rsplit(".", 1)[1]) not in discovery.python_interpreters()]
    if not missing:
        pytest.skip("this machine has every version of Python")
    assert (await bench.run(HELLO, b"1", runtime=missing[0])).payload == b"1"
    assert b"is not on this machine" in bench.output


async def test_every_interpreter_of_the_machine_runs_functions(bench):
    from cumulet.runtimes import discovery

    code = {"index.py": "import sys\ndef handler(e, c):\n    return sys.version_info[1]\n"}
    for minor in discovery.python_interpreters():
        assert (await bench.run(code, runtime=f"python3.{minor}")).payload == str(minor).encode()
