import re
import subprocess
import sys
import urllib.request

import pytest

from cumulet import __version__
from cumulet.cli.main import VERBS

CODE = """
def handler(event, context):
    print("saw", event)
    if event.get("fail"):
        raise ValueError("as asked")
    return {"hello": event.get("name", "world")}
"""


@pytest.fixture
def function(cumulet, name, tmp_path):
    source = tmp_path / "hello.py"
    source.write_text(CODE)
    cumulet("functions", "deploy", name, str(source), "--handler", "hello.handler")
    return name


def test_the_version_is_the_packages(lost):
    assert lost("version").strip().endswith(__version__) and lost.json("version")["version"] == __version__


def test_every_verb_has_help(lost):
    text = lost("--help")
    for verb in VERBS:
        assert verb in text and "Usage: " in lost(verb, "--help")


def test_a_function_is_deployed_called_and_deleted(cumulet, function):
    assert '"hello": "you"' in cumulet("invoke", function, '{"name": "you"}').replace('":"', '": "')
    assert function in cumulet("functions", "list")
    assert cumulet.json("functions", "show", function)["FunctionName"] == function
    cumulet("functions", "delete", function)
    assert "ResourceNotFoundException" in cumulet("invoke", function, code=4)


def test_a_folder_is_deployed_again_over_itself(cumulet, name, tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    for word in ("one", "two"):
        (folder / "app.py").write_text(f"def handler(event, context):\n    return {word!r}\n")
        cumulet("functions", "deploy", name, str(folder), "--handler", "app.handler")
        assert word in cumulet("invoke", name)


def test_a_function_that_fails_is_exit_1(cumulet, function):
    assert "as asked" in cumulet("invoke", function, '{"fail": true}', code=1)


def test_phases_and_log_are_shown(cumulet, function):
    told = cumulet("invoke", function, "{}", "--phases", "--log")
    assert "init" in told and "jail" in told and "START RequestId" in told and "saw {}" in told


def test_a_payload_comes_from_a_file_or_standard_input(cumulet, function, tmp_path):
    (tmp_path / "event.json").write_text('{"name": "file"}')
    assert "file" in cumulet("invoke", function, f"@{tmp_path / 'event.json'}")
    assert "stdin" in cumulet("invoke", function, "-", text='{"name": "stdin"}')


def test_the_log_is_followed_until_it_is_interrupted(cumulet, function):
    cumulet("invoke", function, '{"name": "before"}')
    command = [sys.executable, "-m", "cumulet.cli", "logs", function, "-f"]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=cumulet.environment)
    try:
        assert any("before" in line for line in following.stdout)
        cumulet("invoke", function, '{"name": "after"}')
        assert any("after" in line for line in following.stdout)
    finally:
        following.terminate()
        following.wait(10)
        following.stdout.close()


def test_keys_are_made_used_and_revoked(cumulet, node):
    made = cumulet.json("keys", "create")
    key, secret = made["access_key_id"], made["secret_access_key"]
    assert key in cumulet("keys", "list")
    assert secret not in cumulet("keys", "list")
    sts = node.client("sts", key=key, secret=secret)
    assert sts.get_caller_identity()["Account"] == "000000000000"
    cumulet("keys", "revoke", key)
    with pytest.raises(sts.exceptions.ClientError):
        sts.get_caller_identity()


def test_another_accounts_key_sees_its_own_functions_alone(cumulet, node, function):
    made = cumulet.json("keys", "create", "--account", "111122223333")
    theirs = node.client("lambda", key=made["access_key_id"], secret=made["secret_access_key"])
    assert theirs.list_functions()["Functions"] == []


def test_doctor_tells_walls_and_runtimes(lost):
    code = subprocess.run([sys.executable, "-m", "cumulet.cli", "doctor"], env=lost.environment, capture_output=True).returncode
    told = lost.json("doctor", code=code)
    assert code in (0, 1) and "seccomp" in str(told) and f"python3.{sys.version_info.minor}" in str(told)


def test_where_no_node_is_it_says_so(lost):
    assert "no node" in lost("functions", "list", code=3)


def test_a_node_that_does_not_answer_is_exit_3(lost):
    lost.environment |= {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "AKIANOTHINGNOTHING00",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    lost("functions", "list", code=3)


def test_a_wrong_option_is_exit_2(lost):
    lost("invoke", code=2)
    lost("up", "--root-key", "nocolon", code=2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(lost, shell):
    script = lost("completion", shell)
    assert "cumulet" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_no_colour_when_nobody_looks(cumulet, function):
    assert "\x1b[" not in cumulet("functions", "list")


def test_up_prints_what_a_shell_can_evaluate(start_node):
    node = start_node("--in-memory")
    exports = [line for line in node.lines if line.startswith("export ")]
    assert any(line == f"export AWS_ENDPOINT_URL={node.url}" for line in exports) and len(exports) == 4
    assert node.lines[-1] == f"ready {node.url}" and any("memory" in line for line in node.lines if line.startswith("# data"))
    assert node.stop() == 0


def test_env_finds_the_node_by_its_data_folder(lost, start_node):
    node = start_node()
    lost.environment["CUMULET_DATA"] = str(node.data)
    assert f"export AWS_ENDPOINT_URL={node.url}" in lost("env") and lost.json("env")["endpoint"] == node.url


def test_the_demo_answers_cold_and_warm(cumulet):
    told = cumulet("demo")
    assert "Hello, Cumulet!" in told and re.search(r"first call [\d.]+ ms, next [\d.]+ ms", told)


def test_a_second_node_on_the_same_data_is_refused(start_node):
    node = start_node()
    command = [sys.executable, "-m", "cumulet.cli", "up", "--port", "0", "--data", str(node.data)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "in use by another node" in second.stderr


def test_a_port_that_is_taken_is_told_with_the_way_out(node, tmp_path):
    port = node.url.rpartition(":")[2]
    command = [sys.executable, "-m", "cumulet.cli", "up", "--port", port, "--data", str(tmp_path), "--allow-weak-wall"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "address already in use" in second.stderr and "--port chooses another" in second.stderr


def test_a_newer_format_is_refused(tmp_path):
    (tmp_path / "FORMAT").write_text("999\n")
    command = [sys.executable, "-m", "cumulet.cli", "up", "--port", "0", "--data", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "999" in refused.stderr


def test_the_addresses_of_everything_that_speaks_http_answer(cumulet, node, function, name):
    node.client("lambda").create_function_url_config(FunctionName=function, AuthType="NONE")
    arn = node.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    node.client("apigatewayv2").create_api(Name=f"{name}-http", ProtocolType="HTTP", Target=arn)
    rest = node.client("apigateway")
    api = rest.create_rest_api(name=f"{name}-rest")
    place = {"restApiId": api["id"], "resourceId": api["rootResourceId"], "httpMethod": "GET"}
    rest.put_method(**place, authorizationType="NONE")
    rest.put_integration(**place, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})
    rest.put_method_response(**place, statusCode="200")
    rest.put_integration_response(**place, statusCode="200")
    rest.create_deployment(restApiId=api["id"], stageName="prod")
    found = [each for each in cumulet.json("urls") if each["name"] in (function, f"{name}-http", f"{name}-rest")]
    assert [each["kind"] for each in found] == ["function", "REST API", "HTTP API"]
    for each in found:
        with urllib.request.urlopen(node.reachable(each["url"])) as answer:
            assert answer.status == 200
    assert found[1]["url"] in cumulet("urls")
