"""Java handlers of every form, compiled here and run in real environments."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from cumulet.runtimes import discovery
from cumulet.runtimes.contract import EnvironmentLost, InitError

KITS = discovery.java_interpreters()
pytestmark = [
    pytest.mark.skipif(not KITS, reason="no JDK of 17 or newer on this machine"),
    pytest.mark.xdist_group("java"),  # the runtime is compiled once per data folder: one after the other
]
SOURCES = Path(__file__).parent / "java"
JAVA = {"runtime": "java17", "memory_mb": 512}


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """The function's package: {path: bytes}."""
    folder = tmp_path_factory.mktemp("classes")
    compiler = Path(KITS[min(KITS)].executable).parent / "javac"
    subprocess.run([compiler, "--release", "17", "-d", folder, *map(str, SOURCES.rglob("*.java"))], check=True)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.class")}


async def call(bench, classes, handler, event, **more):
    environment = await bench.start(classes, handler=handler, **JAVA)
    return await bench.call(environment, json.dumps(event).encode(), **more)


async def test_handlers_of_every_form(bench, classes):
    order = {"Customer": "ann", "items": [{"name": "pen", "count": 2, "price": 1.5}, {"name": "ink", "count": 3}], "urgent": True}
    told = json.loads((await call(bench, classes, "example.Handlers$Typed", order)).payload)
    assert (told["customer"], told["count"], told["name"]) == ("ann", 5, "f")
    assert told["order"] == {
        "customer": "ann",
        "urgent": True,
        "items": [{"name": "pen", "count": 2, "price": 1.5}, {"name": "ink", "count": 3, "price": None}],
    }
    assert b"order of ann\n" in bench.output
    for handler, event, wanted in (
        ("example.Handlers$Streams::handleRequest", {"a": 1}, [{"a": 1}]),
        ("example.Handlers::upper", "grüße", "GRÜSSE"),
        (
            "example.Handlers::anything",
            {"a": [1, 2.5, None, {"b": 'é\n"\U0001f600'}]},
            {"a": [1, 2.5, None, {"b": 'é\n"\U0001f600'}]},
        ),
        ("example.Handlers::doubled", [1, 2], [2, 4]),
    ):
        assert json.loads((await call(bench, classes, handler, event)).payload) == wanted


async def test_an_environment_answers_call_after_call(bench, classes):
    environment = await bench.start(classes, handler="example.Handlers::count", **JAVA)
    assert [(await bench.call(environment)).payload for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("is_shell", [False, True])
async def test_the_context_and_the_variables_are_complete(bench, classes, is_shell):
    how = JAVA | {"handler": "example.Handlers::facts", "environment": {"MINE": "1"}}
    classes = classes | {"settings.txt": b"kept"}
    environment = await bench.start(classes, **how)
    if is_shell:
        environment.kill()
        async with asyncio.timeout(60):
            while not bench.runtimes.shells_ready:
                await asyncio.sleep(0.02)
        environment = await bench.start(classes, **how)
        assert "fork" not in environment.phases
    client = json.dumps({"custom": {"a": "1"}, "client": {"app_title": "t"}})
    told = json.loads((await bench.call(environment, client_context=client)).payload)
    assert "arn" in told, told
    assert told["arn"].endswith(":function:f") and told["memory"] == 512 and told["left"] is True
    assert (told["custom"], told["title"], told["identity"]) == ({"a": "1"}, "t", None)
    assert (told["mine"], told["key"], told["zone"]) == ("1", "AKID", "UTC")
    assert 256 < told["heap"] < 512
    assert told["directory"] == "/var/task/." and told["files"] == ["com", "example", "settings.txt"] and told["settings"] == "kept"


async def test_errors_are_documents(bench, classes):
    answer = await call(bench, classes, "example.Handlers::fails", "luck")
    document = json.loads(answer.payload)
    assert answer.error_type == document["errorType"] == "java.lang.IllegalStateException"
    assert document["errorMessage"] == "no luck" and document["stackTrace"][0].startswith("example.Handlers.fails(Handlers.java:")
    assert document["cause"]["errorMessage"] == "why"
    wrong = await call(bench, classes, "example.Handlers::doubled", {"not": "a list"})
    assert wrong.error_type == "java.lang.IllegalArgumentException" and b"JSON parsing" in wrong.payload


async def test_a_program_that_exits_is_lost(bench, classes):
    environment = await bench.start(classes, handler="example.Handlers::exits", **JAVA)
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(environment)
    assert lost.value.exit.code == 9


@pytest.mark.parametrize(
    ("handler", "error_type"),
    [("example.Missing", "java.lang.ClassNotFoundException"), ("example.Handlers::missing", "java.lang.NoSuchMethodException")],
)
async def test_a_failing_init_says_why(bench, classes, handler, error_type):
    with pytest.raises(InitError) as failed:
        await bench.start(classes, handler=handler, **JAVA)
    assert failed.value.error_type == error_type


async def test_every_kit_of_the_machine_runs_functions(bench, classes):
    for major in KITS:
        how = JAVA | {"runtime": f"java{major}", "environment": {"JAVA_OWN": "program"}}
        environment = await bench.start(classes, handler="example.Handlers::upper", **how)
        assert (await bench.call(environment, b'"a"')).payload == b'"A"'
    assert bench.output == b""  # nor has a JVM anything to say of its archive
