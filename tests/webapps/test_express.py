"""One Express application in one function, by each of the packages that its users take for it; none of it changed."""

import shutil
from functools import cache
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "js" / "node_modules"
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on this machine"),
    pytest.mark.skipif(not MODULES.is_dir(), reason="run npm install in tests/webapps/js"),
]

APP = """
const express = require("express");
const app = express();
app.use(express.json());
app.use(express.urlencoded({ extended: false }));
app.get("/", (req, res) => res.send("<h1>Hello from Express</h1>"));
app.get("/people/:name", (req, res) => {
  res.cookie("a", "1"); res.cookie("b", "2");
  res.json({ name: req.params.name, query: req.query, cookie: req.headers.cookie || null, url: req.originalUrl });
});
app.post("/people", (req, res) => res.status(201).location("/people/" + req.body.name).json(req.body));
app.get("/picture", (req, res) => res.type("png").send(Buffer.from([...Array(256).keys()])));
app.get("/broken", (req, res) => { throw new Error("a word for the log"); });
app.use((req, res) => res.status(404).send("nothing here: " + req.path));
module.exports = app;
"""
WRAPPERS = {
    "@codegenie": 'exports.handler = require("@codegenie/serverless-express")({ app: require("./app") });',
    "@vendia": 'exports.handler = require("@vendia/serverless-express")({ app: require("./app") });',
    "aws-serverless-express": """
const awsServerlessExpress = require("aws-serverless-express");
const server = awsServerlessExpress.createServer(require("./app"), null, ["image/png"]);
exports.handler = (event, context) => { awsServerlessExpress.proxy(server, event, context); };
""",
}


@cache
def modules():
    files = (path for path in MODULES.rglob("*") if path.is_file() and "swagger-ui-dist" not in path.parts)
    return {f"node_modules/{path.relative_to(MODULES)}": path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def functions(deploy):
    """Each wrapper's function, made when first asked for."""
    made = {}

    def function(wrapper):
        if wrapper not in made:
            files = {"app.js": APP, "index.js": WRAPPERS[wrapper], **modules()}
            made[wrapper] = deploy.function(files, "index.handler", Runtime="nodejs20.x")
        return made[wrapper]

    return function


# The oldest of them knows the events of REST APIs alone.
CASES = [
    ("@codegenie", "url"),
    ("@codegenie", "rest"),
    ("@codegenie", "default"),
    ("@vendia", "url"),
    ("@vendia", "rest"),
    ("aws-serverless-express", "rest"),
]


@pytest.mark.parametrize(("wrapper", "door"), CASES, indirect=["door"])
def test_express(functions, door, wrapper):
    site = door(functions(wrapper))
    home = site.get()
    assert home.status_code == 200 and home.text == "<h1>Hello from Express</h1>", site.log()
    assert home.headers["content-type"] == "text/html; charset=utf-8"
    person = site.get("/people/J%C3%BCrgen", params={"q": "a b&ü", "e": ""}, headers={"cookie": "x=1"})
    assert person.json() == {"name": "Jürgen", "query": {"q": "a b&ü", "e": ""}, "cookie": "x=1", "url": person.json()["url"]}
    assert person.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
    made = site.post("/people", json={"name": "Ü"})
    assert (made.status_code, made.json(), made.headers["location"]) == (201, {"name": "Ü"}, "/people/%C3%9C")
    assert site.post("/people", data={"name": "form"}).json() == {"name": "form"}
    assert site.get("/picture", headers={"accept": "image/png"}).content == bytes(range(256))
    assert site.get("/no/where").text == "nothing here: /no/where"
    assert site.get("/broken").status_code == 500
    # Express tells its log when the answer is out and the environment may rest: it comes with one of the next calls.
    assert any(site.get() and site.logged("a word for the log", wait_s=0.5) for _ in range(20))
