"""Terraform applies, plans clean and destroys. Needs a terraform whose aws provider is on this machine."""

import json
import os
import shutil
import subprocess
import urllib.request
import zipfile
from pathlib import Path

import pytest

MIRROR = Path(os.environ.get("TERRAFORM_PLUGIN_MIRROR", "/opt/tf-plugins"))
HERE = Path(__file__).parent / "terraform"

HELLO = """\
import os, words
def handler(event, context):
    return {'statusCode': 200, 'body': words.say(os.environ['GREETING'])}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("terraform") or not (MIRROR / "registry.terraform.io/hashicorp/aws").is_dir(),
        reason="no terraform with a local mirror of the aws provider (TERRAFORM_PLUGIN_MIRROR)",
    ),
]


def _archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "/") + ".py"), text)
    return path


class Terraform:
    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder = folder
        config = folder / "terraform.rc"
        config.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{MIRROR}" }}\n}}\n')
        self.environment = os.environ | environment | {"TF_CLI_CONFIG_FILE": str(config), "CHECKPOINT_DISABLE": "1"}
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):  # the configuration says it
            self.environment.pop(name, None)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )


def test_apply_plan_destroy(node, tmp_path):
    shutil.copy(HERE / "main.tf", tmp_path)
    archive = _archive(tmp_path / "hello.zip", hello=HELLO)
    layer = _archive(tmp_path / "layer.zip", python__words="def say(word):\n    return word + ' from a layer'\n")
    variables = ["-var", f"archive={archive}", "-var", f"layer_archive={layer}"]
    terraform = Terraform(tmp_path, node.environment)

    initialised = terraform.run("init")
    assert initialised.returncode == 0, initialised.stderr
    applied = terraform.run("apply", "-auto-approve", *variables)
    assert applied.returncode == 0, applied.stderr

    url = json.loads(terraform.run("output", "-json").stdout)["url"]["value"]
    with urllib.request.urlopen(node.reachable(url), timeout=20) as answer:
        assert answer.read() == b"hello from a layer"

    planned = terraform.run("plan", "-detailed-exitcode", *variables)
    assert planned.returncode == 0, planned.stdout + planned.stderr

    destroyed = terraform.run("destroy", "-auto-approve", *variables)
    assert destroyed.returncode == 0, destroyed.stderr
    lambdas = node.client("lambda", region="eu-west-1")
    assert lambdas.list_functions()["Functions"] == []
