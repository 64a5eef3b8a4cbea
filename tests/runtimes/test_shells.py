"""Pre-warmed shells: started without code, one function's for ever after."""

import asyncio
import json
import shutil

import pytest

from cumulet.runtimes.contract import InitError

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="no Node.js on this machine")
HELLO = {"index.js": "exports.handler = async (event) => event;"}
NODE = {"runtime": "nodejs20.x"}


async def shell_of(bench, **how):
    """Make one shell ready, by a first call that finds none."""
    await bench.run(HELLO, **NODE, **how)
    await ready(bench)


async def ready(bench, count=1):
    async with asyncio.timeout(20):
        while bench.runtimes.shells_ready < count:
            await asyncio.sleep(0.01)


async def test_a_shell_becomes_the_functions_environment(bench):
    await shell_of(bench)
    code = """
const fs = require("fs");
exports.handler = async () => ({
  env: process.env, cwd: process.cwd(), root: fs.readdirSync("/"), task: fs.readdirSync("/var/task"),
  opt: fs.readFileSync("/opt/note.txt", "utf8"), dep: require("dep"), zone: new Date(0).getHours(),
});
"""
    layer = {"note.txt": "from the layer", "nodejs/node_modules/dep/index.js": "module.exports = 42;"}
    environment = await bench.start({"index.js": code}, layers=[layer], environment={"MINE": "1", "TZ": "Asia/Tokyo"}, **NODE)
    told = json.loads((await bench.call(environment)).payload)
    assert told["env"]["MINE"] == "1" and told["env"]["AWS_ACCESS_KEY_ID"] == "AKID" and told["env"]["_HANDLER"] == "index.handler"
    assert told["cwd"] == "/var/task" and told["task"] == ["index.js"] and ".packages" in told["root"]
    assert (told["opt"], told["dep"], told["zone"]) == ("from the layer", 42, 9)
    assert environment.phases.keys() == {"prepare", "jail", "init"}


async def test_nothing_of_other_functions_is_left_in_reach(bench):
    await shell_of(bench)
    code = """
const fs = require("fs");
exports.handler = async () => ({
  packages: fs.readdirSync("/.packages"),
  mounts: fs.readFileSync("/proc/self/mountinfo", "utf8"),
  fds: fs.readdirSync("/proc/self/fd").map((fd) => { try { return fs.readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } }),
  status: fs.readFileSync("/proc/self/status", "utf8"),
  init: (() => { try { return fs.readdirSync("/proc/1/root"); } catch (error) { return error.code; } })(),
  write: (() => { try { fs.writeFileSync("/var/task/x", ""); return "written"; } catch (error) { return error.code; } })(),
});
"""
    told = json.loads((await bench.run({"index.js": code}, **NODE)).payload)
    assert told["packages"] == [] and "/.packages" not in told["mounts"] and "placeholders" not in told["mounts"]
    assert not [path for path in told["fds"] if "packages" in path]
    assert "CapEff:\t0000000000000000" in told["status"] and "Seccomp:\t2" in told["status"] and "NoNewPrivs:\t1" in told["status"]
    assert told["init"] == "EACCES" and told["write"] == "EROFS"


async def test_a_shell_is_never_used_twice(bench):
    await shell_of(bench)
    code = {
        "index.js": "globalThis.seen = (globalThis.seen ?? 0) + 1; exports.handler = async () => [globalThis.seen, process.pid];"
    }
    answers = [json.loads((await bench.run(code, **NODE)).payload) for _ in range(3)]
    assert all(seen == 1 for seen, _ in answers)


async def test_a_failing_init_in_a_shell_says_why(bench):
    await shell_of(bench)
    with pytest.raises(InitError) as failed:
        await bench.start({"index.js": "throw new RangeError('at load');"}, **NODE)
    assert failed.value.error_type == "RangeError"
    assert b"at load" in bench.output


async def test_variables_that_node_reads_at_its_start_get_a_process_of_their_own(bench):
    await shell_of(bench)
    code = {"index.js": "exports.handler = async () => process.execArgv.concat(process.env.NODE_OPTIONS);"}
    environment = await bench.start(code, environment={"NODE_OPTIONS": "--stack-trace-limit=3"}, **NODE)
    assert json.loads((await bench.call(environment)).payload)[-1] == "--stack-trace-limit=3" and "fork" in environment.phases


async def test_sizes_have_shells_of_their_own_and_their_number_is_bounded(bench):
    for memory_mb in (128, 256, 512, 1024, 2048):
        await bench.run(HELLO, memory_mb=memory_mb, **NODE)
        await ready(bench)
    async with asyncio.timeout(20):
        while bench.runtimes.shells_ready < 4:
            await asyncio.sleep(0.01)
    code = {"index.js": "exports.handler = async () => require('v8').getHeapStatistics().heap_size_limit / 1048576;"}
    for memory_mb in (512, 2048):
        limit = json.loads((await bench.run(code, memory_mb=memory_mb, **NODE)).payload)
        assert memory_mb / 2 < limit <= memory_mb
    assert bench.runtimes.shells_ready <= 4
