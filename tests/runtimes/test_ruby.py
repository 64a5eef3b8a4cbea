"""Ruby handlers in real environments."""

import asyncio
import json

import pytest

from cumulet.runtimes import discovery
from cumulet.runtimes.contract import EnvironmentLost, InitError

pytestmark = pytest.mark.skipif(not discovery.ruby_interpreters(), reason="no Ruby on this machine")
RUBY = {"runtime": "ruby3.3"}
FACTS = """
require "json"
$calls = 0
def handler(event:, context:)
  puts "told #{event}"
  $calls += 1
  { calls: $calls, event: event, arn: context.invoked_function_arn, name: context.function_name, mine: ENV["MINE"],
    left: context.get_remaining_time_in_millis > 0, key: ENV["AWS_ACCESS_KEY_ID"], directory: Dir.pwd,
    custom: context.client_context["custom"] }
end
"""


@pytest.mark.parametrize("is_shell", [False, True])
async def test_a_function_and_its_context(bench, is_shell):
    how = RUBY | {"environment": {"MINE": "1"}}
    environment = await bench.start({"index.rb": FACTS}, **how)
    if is_shell:
        async with asyncio.timeout(20):
            while not bench.runtimes.shells_ready:
                await asyncio.sleep(0.02)
        environment = await bench.start({"index.rb": FACTS}, **how)
        assert "fork" not in environment.phases
    for calls in (1, 2):
        told = json.loads((await bench.call(environment, '{"a": "é"}'.encode(), client_context='{"custom": {"b": 1}}')).payload)
        assert told["calls"] == calls and told["event"] == {"a": "é"} and told["arn"].endswith(":function:f")
        assert (told["name"], told["mine"], told["left"], told["key"]) == ("f", "1", True, "AKID")
        assert told["directory"] == "/var/task" and told["custom"] == {"b": 1}
    assert b"told {" in bench.output


async def test_methods_of_classes_and_files_beside(bench):
    files = {
        "app.rb": "require_relative 'lib/text'\nmodule App\n  class Door\n"
        "    def self.open(event:, context:) = Text.up(event)\n  end\nend\n",
        "lib/text.rb": "module Text\n  def self.up(text) = text.upcase\nend\n",
    }
    assert (await bench.run(files, b'"abc"', handler="app.App::Door.open", **RUBY)).payload == b'"ABC"'


async def test_layers_bring_libraries(bench):
    environment = await bench.start(
        {"index.rb": "require 'shared'\ndef handler(event:, context:) = Shared::WORD\n"},
        layers=[{"ruby/lib/shared.rb": "module Shared\n  WORD = 'from the layer'\nend\n"}],
        **RUBY,
    )
    assert (await bench.call(environment)).payload == b'"from the layer"'


async def test_errors_are_documents(bench):
    answer = await bench.run({"index.rb": "def handler(event:, context:)\n  raise ArgumentError, 'no'\nend\n"}, **RUBY)
    document = json.loads(answer.payload)
    assert answer.error_type == document["errorType"] == "Function<ArgumentError>" and document["errorMessage"] == "no"
    assert document["stackTrace"][0].startswith("/var/task/index.rb:2")


@pytest.mark.parametrize(
    ("text", "handler", "error_type"),
    [
        ("", "index.handler", "Init<NoMethodError>"),
        ("require 'not_there'", "index.handler", "Init<LoadError>"),
        ("def (", "index.handler", "Init<SyntaxError>"),
        ("", "index", "Runtime.MalformedHandlerName"),
        ("raise 'at load'", "index.handler", "Function<RuntimeError>"),
        ("exit 3", "index.handler", "Runtime.ExitError"),
    ],
)
async def test_a_failing_init_says_why(bench, text, handler, error_type):
    with pytest.raises(InitError) as failed:
        await bench.start({"index.rb": text}, handler=handler, **RUBY)
    assert failed.value.error_type == error_type


async def test_a_program_that_exits_is_lost(bench):
    environment = await bench.start({"index.rb": "def handler(event:, context:) = exit!(9)\n"}, **RUBY)
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(environment)
    assert lost.value.exit.code == 9
