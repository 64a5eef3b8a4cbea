"""Web applications on a real node: packaged as their users package them, asked through every kind of door."""

import importlib.metadata
import importlib.util
import io
import os
import re
import sys
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import real_node

node, start_node, name = real_node.node, real_node.start_node, real_node.name

_SPEC = importlib.util.spec_from_file_location("runtimes_conftest", Path(__file__).parents[1] / "runtimes" / "conftest.py")
assert _SPEC is not None and _SPEC.loader is not None
_RUNTIMES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_RUNTIMES)

bench = _RUNTIMES.bench

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"


def zip_of(files: dict[str, bytes | str], executable: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755 if path in executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def folder_files(folder: Path) -> dict[str, bytes | str]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def installed(*names: str) -> dict[str, bytes | str]:
    """What `pip install --target` of these would lay down, their requirements included, from what the tests' own Python has."""
    files: dict[str, bytes | str] = {}
    seen: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            assert name not in names, f"{name} is not installed"
            continue  # wanted for another platform or version
        for path in found.files or ():
            if path.parts[0] == "bin" or path.parts[:3] == ("..", "..", ".."):
                source = Path(str(found.locate_file(path)))
                files["bin/" + path.name] = re.sub(rb"^#!.*", b"#!/nowhere/bin/python3", source.read_bytes())
            elif path.suffix != ".pyc":
                files[str(path)] = Path(str(found.locate_file(path))).read_bytes()
        for requirement in found.requires or ():
            if "extra ==" not in requirement:
                wanted.append(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
    return files


class Site:
    """A function behind a door. `root` is where its pages begin."""

    def __init__(self, node: Any, function: str, url: str) -> None:
        self.node, self.function, self.url = node, function, url
        place = urllib.parse.urlsplit(url)
        self.root = place.path.rstrip("/")
        # By address, with the name as the header: names under localhost resolve not everywhere.
        self.http = httpx.Client(base_url=node.url + self.root, headers={"Host": place.netloc}, timeout=60)

    def get(self, path: str = "/", **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.http.post(path, **more)

    def log(self) -> str:
        logs = self.node.client("logs")
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{self.function}")["events"]
        return "\n".join(event["message"] for event in found)

    def logged(self, words: str, wait_s: float = 10) -> bool:
        """Whether they are in the log, or soon will be: lines are kept a little later than answers are given."""
        deadline_s = time.monotonic() + wait_s
        while words not in self.log():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.05)
        return True


class Deployer:
    """Makes functions of files, and doors to them."""

    def __init__(self, node: Any, prefix: str) -> None:
        self.node, self.prefix = node, prefix
        self.lambdas = node.client("lambda")
        self._layers: dict[tuple[str, ...], str] = {}
        self._sites: list[Site] = []
        self._count = 0

    def layer(self, *packages: str) -> str:
        if packages not in self._layers:
            files = {f"python/{path}": data for path, data in installed(*packages).items()}
            made = self.lambdas.publish_layer_version(
                LayerName=f"{self.prefix}-{len(self._layers)}", Content={"ZipFile": zip_of(files)}
            )
            self._layers[packages] = made["LayerVersionArn"]
        return self._layers[packages]

    def function(
        self,
        files: dict[str, bytes | str],
        handler: str,
        *,
        packages: tuple[str, ...] = (),
        executable: tuple[str, ...] = (),
        variables: dict[str, str] | None = None,
        **more: Any,
    ) -> str:
        self._count += 1
        name = f"{self.prefix}-{self._count}"
        settings = {"Runtime": PYTHON, "MemorySize": 512, "Timeout": 30} | more
        if packages:
            settings["Layers"] = [self.layer(*packages)]
        self.lambdas.create_function(
            FunctionName=name,
            Handler=handler,
            Role=ROLE,
            Code={"ZipFile": zip_of(files, executable)},
            Environment={"Variables": variables or {}},
            **settings,
        )
        return name

    def package(self, folder: Path, handler: str, **more: Any) -> str:
        """A function of all files below a folder, those that can be executed as such."""
        files = folder_files(folder)
        return self.function(files, handler, executable=tuple(path for path in files if os.access(folder / path, os.X_OK)), **more)

    def url_of(self, function: str, *, streams: bool = False) -> Site:
        mode = {"InvokeMode": "RESPONSE_STREAM"} if streams else {}
        try:
            made = self.lambdas.create_function_url_config(FunctionName=function, AuthType="NONE", **mode)
        except self.lambdas.exceptions.ResourceConflictException:
            made = self.lambdas.get_function_url_config(FunctionName=function)
        url_id = re.findall(r"[a-z0-9]{32}", made["FunctionUrl"])[0]
        return self._site(function, f"http://{url_id}.lambda-url.us-east-1.localhost:{self.port}/")

    def _site(self, function: str, url: str) -> Site:
        self._sites.append(Site(self.node, function, url))
        return self._sites[-1]

    def close(self) -> None:
        for site in self._sites:
            site.http.close()

    @property
    def port(self) -> str:
        return str(self.node.netloc.rpartition(":")[2])

    def http_api_of(self, function: str, *, stage: str = "dev") -> Site:
        """One route for everything, in payload format 2.0."""
        gateway = self.node.client("apigatewayv2")
        api = gateway.create_api(Name=function, ProtocolType="HTTP")["ApiId"]
        arn = self.lambdas.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        made = gateway.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0")
        gateway.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{made['IntegrationId']}")
        gateway.create_stage(ApiId=api, StageName=stage, AutoDeploy=True)
        return self._site(function, f"http://{api}.execute-api.us-east-1.localhost:{self.port}/{stage}".removesuffix("$default"))

    def default_api_of(self, function: str) -> Site:
        """Without a stage in the path: what packages that know of none expect."""
        return self.http_api_of(function, stage="$default")

    def rest_of(self, function: str, *, stage: str = "prod", binary: tuple[str, ...] = ("*/*",)) -> Site:
        """`{proxy+}`, as the essays and frameworks do it."""
        gateway = self.node.client("apigateway")
        api = gateway.create_rest_api(name=function, binaryMediaTypes=list(binary))
        arn = self.lambdas.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
        proxy = gateway.create_resource(restApiId=api["id"], parentId=api["rootResourceId"], pathPart="{proxy+}")["id"]
        for resource in (api["rootResourceId"], proxy):
            place = {"restApiId": api["id"], "resourceId": resource, "httpMethod": "ANY"}
            gateway.put_method(**place, authorizationType="NONE")
            gateway.put_integration(**place, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
        gateway.create_deployment(restApiId=api["id"], stageName=stage)
        host = f"{api['id']}.execute-api.us-east-1.localhost:{self.port}"
        return self._site(function, f"http://{host}/{stage}")


@pytest.fixture(scope="session")
def deploy(node: Any) -> Iterator[Deployer]:
    deployer = Deployer(node, "web")
    yield deployer
    deployer.close()


Door = Callable[[str], Site]


@pytest.fixture(params=["url", "rest", "http"])
def door(request: pytest.FixtureRequest, deploy: Deployer) -> Door:
    """A function to a site, by each kind of door."""
    return {"url": deploy.url_of, "rest": deploy.rest_of, "http": deploy.http_api_of, "default": deploy.default_api_of}[
        request.param
    ]
