"""Every example of a web application: built by its own script, deployed, and asked through its URL."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="no Node.js on this machine")
CASES = [
    pytest.param("web-flask", None, "app:app", "Flask"),
    pytest.param("web-django", None, "mysite.wsgi:application", "Django"),
    pytest.param("web-fastapi", None, "app:app", "FastAPI"),
    pytest.param("web-express", "nodejs22.x", "index.handler", "Express", marks=needs_node),
    pytest.param("web-node", "nodejs22.x", "Procfile", "Node.js", marks=needs_node),
    pytest.param(
        "web-c", "provided.al2023", "server", "C", marks=pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
    ),
]


def test_every_example_is_tested():
    folders = {path.name for path in EXAMPLES.iterdir() if path.name.startswith("web-")}
    assert folders == {case.values[0] for case in CASES}
    assert all((EXAMPLES / folder / "README.md").exists() for folder in folders)


@pytest.mark.parametrize(("folder", "runtime", "handler", "by"), CASES)
def test_an_example_runs(deploy, tmp_path, folder, runtime, handler, by):
    environment = os.environ | {"PYTHON": sys.executable}
    subprocess.run([EXAMPLES / folder / "build", tmp_path / "package"], check=True, env=environment)
    more = {"Runtime": runtime} if runtime else {}
    variables = {"DJANGO_SUPERUSER_PASSWORD": "secret", "CUMULET_CONCURRENCY": "16"} if by == "Django" else {}
    site = deploy.url_of(deploy.package(tmp_path / "package", handler, variables=variables, **more))
    answer = site.get("/", params={"name": "Ann"})
    expected = '{"hello":"Ann","from":"FastAPI"}' if by == "FastAPI" else f"<h1>Hello Ann from {by}</h1>"
    assert answer.status_code == 200 and answer.text == expected, site.log()
    if by == "Django":
        assert "Log in" in site.get("/admin/login/").text
