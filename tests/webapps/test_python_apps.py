"""Flask, Django, FastAPI and Starlette, unmodified, named as `module:application`."""

import asyncio
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cumulet.runtimes.contract import InitError

FLASK = """
import sys
from flask import Flask, request, redirect, url_for, session, Response, stream_with_context
app = Flask(__name__)
app.secret_key = "not a secret"

@app.route("/")
def index():
    return f"<h1>Hello from Flask</h1><a href='{url_for('person', name='Ann')}'>Ann</a>"

@app.route("/people/<path:name>", methods=["GET", "POST", "DELETE"])
def person(name):
    return {"name": name, "method": request.method, "query": request.args.to_dict(flat=False), "form": request.form.to_dict(),
            "root": request.root_url, "url": request.url, "client": request.remote_addr,
            "many": request.headers.get("x-many"), "function": request.environ["aws.context"].function_name}

@app.route("/login", methods=["POST"])
def login():
    session["user"] = request.form["user"]
    answer = redirect(url_for("me"))
    answer.set_cookie("second", "2")
    return answer

@app.route("/me")
def me():
    return {"user": session.get("user"), "second": request.cookies.get("second")}

@app.route("/picture")
def picture():
    return Response(bytes(range(256)), mimetype="image/png")

@app.route("/upload", methods=["POST"])
def upload():
    return {"size": len(request.files["file"].read()), "name": request.files["file"].filename}

@app.route("/broken")
def broken():
    raise KeyError("a word for the log")

@app.route("/slowly")
def slowly():
    def parts():
        import time
        for number in range(3):
            yield f"{number} {time.time()}\\n"
            time.sleep(0.4)
    return Response(parts(), mimetype="text/plain")

@app.route("/breaks")
def breaks():
    def parts():
        yield "begun"
        raise ValueError("half way")
    return Response(parts(), mimetype="text/plain")
"""


@pytest.fixture(scope="module")
def flask_function(deploy):
    return deploy.function({"app.py": FLASK}, "app:app", packages=("flask",))


def test_flask_behind_each_door(door, flask_function):
    site = door(flask_function)
    home = site.get()
    assert home.status_code == 200 and "Hello from Flask" in home.text, site.log()
    assert home.headers["content-type"] == "text/html; charset=utf-8"
    link = re.search(r"href='([^']+)'", home.text)[1]
    assert link == f"{site.root}/people/Ann"  # links stay below the stage
    sent = site.get(
        "/people/Jos%C3%A9%20B%2FC", params=[("a", "1"), ("a", "2 é"), ("b", "")], headers=[("x-many", "1"), ("x-many", "2")]
    )
    got = sent.json()
    assert got["name"] == "José B/C" and got["query"] == {"a": ["1", "2 é"], "b": [""]} and got["many"] == "1,2"
    assert (
        got["client"] == "127.0.0.1"
        and got["url"].startswith(site.url.rstrip("/") + "/people/Jos")
        and got["function"] == site.function
    )
    assert site.http.delete("/people/x").json()["method"] == "DELETE"
    assert site.get("/people/Ann").json()["root"].rstrip("/") == site.url.rstrip("/")
    assert site.post("/people/x", data={"k": "ü"}).json()["form"] == {"k": "ü"}


def test_a_session_a_redirect_and_several_cookies(door, flask_function):
    site = door(flask_function)
    answer = site.post("/login", data={"user": "Ann"})
    assert answer.status_code == 302 and answer.headers["location"] == f"{site.root}/me"
    assert len(answer.headers.get_list("set-cookie")) == 2
    cookies = "; ".join(each.partition(";")[0] for each in answer.headers.get_list("set-cookie"))
    assert site.get("/me", headers={"cookie": cookies}).json() == {"user": "Ann", "second": "2"}


def test_bytes_go_both_ways(door, flask_function):
    site = door(flask_function)
    picture = site.get("/picture", headers={"accept": "image/png"})
    assert picture.content == bytes(range(256)) and picture.headers["content-type"] == "image/png"
    uploaded = site.post("/upload", files={"file": ("a.bin", bytes(range(256)) * 10)})
    assert uploaded.json() == {"size": 2560, "name": "a.bin"}


def test_an_exception_is_a_500_and_its_traceback_is_in_the_log(door, flask_function):
    site = door(flask_function)
    assert site.get("/broken").status_code == 500
    assert site.logged("KeyError: 'a word for the log'") and "app.py" in site.log()
    assert site.get("/nowhere").status_code == 404


def test_a_response_arrives_as_it_is_made(deploy, flask_function):
    site = deploy.url_of(deploy.function({"app.py": FLASK}, "app.app", packages=("flask",)), streams=True)
    site.get()
    with site.http.stream("GET", "/slowly") as response:
        lags = [time.time() - float(line.split()[1]) for line in response.iter_lines()]
    assert len(lags) == 3 and max(lags) < 0.35  # each was here before the next was made
    with pytest.raises(httpx.RemoteProtocolError), site.http.stream("GET", "/breaks") as response:
        assert response.status_code == 200
        for _ in response.iter_bytes():
            pass
    assert site.get("/broken").status_code == 500
    assert site.get("/picture").content == bytes(range(256))


DJANGO = {
    "site_settings.py": """
import os
SECRET_KEY = "not a secret"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_urls"
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                  "django.contrib.messages", "django.contrib.staticfiles"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.contrib.sessions.middleware.SessionMiddleware",
              "django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware", "django.contrib.messages.middleware.MessageMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
    "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages"]}}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/tmp/site.db"}}
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = {"version": 1, "disable_existing_loggers": False, "handlers": {"out": {"class": "logging.StreamHandler"}},
           "loggers": {"django": {"handlers": ["out"], "level": "WARNING"}}}
""",
    "site_urls.py": """
from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path, re_path
def broken(request):
    raise RuntimeError("a word for the log")
urlpatterns = [
    path("admin/", admin.site.urls),
    path("hello/<str:name>/", lambda request, name: HttpResponse(f"Hello {name} from Django at {request.get_full_path()}")),
    path("broken/", broken),
    re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}),
]
""",
    "site_app.py": """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
from django.core.wsgi import get_wsgi_application
from django.core.asgi import get_asgi_application
application = get_wsgi_application()
asgi_application = get_asgi_application()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser("ann", "ann@example.com", "secret")
""",
}


@pytest.fixture(scope="module")
def django_function(deploy):
    return deploy.function(DJANGO, "site_app:application", packages=("django",))


def log_in(site, user="ann", password="secret"):
    page = site.get("/admin/login/?next=/admin/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
    cookie = page.headers["set-cookie"].partition(";")[0]
    form = {"csrfmiddlewaretoken": token, "username": user, "password": password, "next": f"{site.root}/admin/"}
    return site.post("/admin/login/", data=form, headers={"cookie": cookie, "origin": site.url.rstrip("/").removesuffix(site.root)})


def test_djangos_admin(door, django_function):
    site = door(django_function)
    assert site.get("/hello/J%C3%BCrgen/").text == f"Hello Jürgen from Django at {site.root}/hello/J%C3%BCrgen/"
    assert "Please enter the correct username" in log_in(site, password="wrong").text
    answer = log_in(site)
    assert (answer.status_code, answer.headers["location"]) == (302, f"{site.root}/admin/")
    session = "; ".join(each.partition(";")[0] for each in answer.headers.get_list("set-cookie"))
    page = site.get("/admin/", headers={"cookie": session})
    assert page.status_code == 200 and "Site administration" in page.text and "ann" in page.text
    users = site.get("/admin/auth/user/", headers={"cookie": session})
    assert "ann@example.com" in users.text
    style = re.search(r'href="[^"]*(/static/[^"]+/css/base.css)"', page.text)[1]  # behind the first stage that Django has seen
    assert b"--primary" in site.get(style).content


def test_djangos_asgi_application_and_its_errors(deploy):
    site = deploy.rest_of(deploy.function(DJANGO, "site_app.asgi_application", packages=("django",)))
    assert site.get("/hello/Ann/").text == "Hello Ann from Django at /prod/hello/Ann/"
    assert site.get("/broken/").status_code == 500
    assert site.logged("RuntimeError: a word for the log")
    assert log_in(site).status_code == 302


FASTAPI = """
import asyncio, json, os
from contextlib import asynccontextmanager
from fastapi import FastAPI, Request, Response, UploadFile, BackgroundTasks, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

@asynccontextmanager
async def lifespan(app):
    print("the application starts")
    yield {"started": 7}

app = FastAPI(title="Shop", lifespan=lifespan)
done, here = [], []

class Item(BaseModel):
    name: str
    price: float = 1.5

@app.get("/")
def index(request: Request):
    return {"state": request.state.started, "root": request.scope["root_path"], "path": request.scope["path"],
            "client": request.client.host, "url": str(request.url), "link": str(request.url_for("item", item_id=3)),
            "raw": request.scope["raw_path"].decode(), "event": request.scope["aws.event"]["requestContext"]["requestId"]}

@app.get("/items/{item_id:path}")
def item(item_id: str, q: str | None = None):
    return {"item": item_id, "q": q}

@app.post("/items", status_code=201)
async def create(item: Item, tasks: BackgroundTasks):
    tasks.add_task(done.append, item.name)
    return item

@app.get("/done")
async def all_done():
    return done

@app.post("/cookies")
def cookies(response: Response, request: Request):
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return dict(request.cookies)

@app.get("/broken")
def broken():
    raise LookupError("a word for the log")

@app.get("/ticks")
async def ticks():
    async def parts():
        import time
        for number in range(3):
            yield f"data: {time.time()}\\n\\n"
            await asyncio.sleep(0.4)
    return StreamingResponse(parts(), media_type="text/event-stream")

@app.get("/breaks")
async def breaks():
    async def parts():
        yield b"begun"
        raise ValueError("half way")
    return StreamingResponse(parts(), media_type="text/plain")

@app.get("/meet/{count}")
async def meet(count: int):
    here.append(1)
    while len(here) < count:
        await asyncio.sleep(0.01)
    return os.getpid()

@app.post("/events")
async def events(request: Request):
    event = await request.json()
    if event.get("fails"):
        raise HTTPException(503)
    return {"took": event}
"""


@pytest.fixture(scope="module")
def fastapi_function(deploy):
    return deploy.function({"app.py": FASTAPI}, "app:app", packages=("fastapi",))


def test_fastapi_and_its_documentation_page(door, fastapi_function):
    site = door(fastapi_function)
    home = site.get().json()
    assert home["state"] == 7 and home["client"] == "127.0.0.1" and home["root"] == site.root and len(home["event"]) == 36
    assert home["link"] == site.url.rstrip("/") + "/items/3"
    assert site.get("/items/a%20b%2Fc", params={"q": "ü&="}).json() == {"item": "a b/c", "q": "ü&="}
    docs = site.get("/docs").text
    assert "<title>Shop - Swagger UI</title>" in docs and f"url: '{site.root}/openapi.json'" in docs
    described = site.get("/openapi.json").json()
    assert described["info"]["title"] == "Shop" and "/items" in described["paths"]
    made = site.post("/items", json={"name": "Ü"})
    assert (made.status_code, made.json()) == (201, {"name": "Ü", "price": 1.5})
    assert "Ü" in site.get("/done").json()  # tasks in the background run before the call is over
    refused = site.post("/items", json={"price": "much"})
    assert refused.status_code == 422 and len(refused.json()["detail"]) == 2
    answer = site.post("/cookies", headers={"cookie": "x=1; y=2"})
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/; SameSite=lax", "b=2; Path=/; SameSite=lax"]
    assert answer.json() == {"x": "1", "y": "2"}
    assert site.get("/broken").status_code == 500
    assert site.logged("LookupError: a word for the log")
    assert site.log().count("the application starts") == 1


def test_server_sent_events_arrive_as_they_are_produced(deploy):
    site = deploy.url_of(deploy.function({"app.py": FASTAPI}, "app.app", packages=("fastapi",)), streams=True)
    site.get()
    with site.http.stream("GET", "/ticks") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lags = [time.time() - float(line.split()[1]) for line in response.iter_lines() if line]
    assert len(lags) == 3 and max(lags) < 0.35
    with pytest.raises(httpx.RemoteProtocolError), site.http.stream("GET", "/breaks") as response:
        for _ in response.iter_bytes():
            pass
    assert len(site.post("/cookies").headers.get_list("set-cookie")) == 2


def test_events_that_are_no_requests_are_posted(deploy, fastapi_function):
    invoked = deploy.lambdas.invoke(FunctionName=fastapi_function, Payload=b'{"Records": [1]}')
    assert json.loads(invoked["Payload"].read()) == {"took": {"Records": [1]}}
    failed = deploy.lambdas.invoke(FunctionName=fastapi_function, Payload=b'{"fails": true}')
    assert failed["FunctionError"] == "Unhandled" and json.loads(failed["Payload"].read())["errorType"] == "Web.ErrorStatus"


MANGUM = """
from mangum import Mangum
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
async def echo(request):
    return JSONResponse({"path": request.path_params["path"], "query": list(request.query_params.multi_items()),
                         "body": (await request.body()).decode()}, headers={"x-by": "mangum"})
app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
handler = Mangum(app, lifespan="off")
"""


@pytest.mark.parametrize("door", ["url", "rest", "default"], indirect=True)
def test_starlette_by_mangum(door, deploy):
    site = door(deploy.function({"app.py": MANGUM}, "app.handler", packages=("mangum", "starlette")))
    answer = site.post("/a/b", params=[("q", "1"), ("q", "2")], content=b"hello", headers={"content-type": "text/plain"})
    assert answer.headers["x-by"] == "mangum"
    assert answer.json() == {"path": "a/b", "query": [["q", "1"], ["q", "2"]], "body": "hello"}


@pytest.mark.parametrize("door", ["url"], indirect=True)
def test_requests_meet_in_one_environment(door, deploy):
    flask = """
from flask import Flask
import os, threading
app, everyone = Flask(__name__), threading.Barrier(4)
@app.route("/meet/4")
def meet():
    everyone.wait(20)
    print("met")
    return str(os.getpid())
@app.route("/")
def index():
    return ""
"""
    variables = {"CUMULET_CONCURRENCY": "4"}
    for files, packages in (({"app.py": flask}, ("flask",)), ({"app.py": FASTAPI}, ("fastapi",))):
        site = door(deploy.function(files, "app:app", packages=packages, variables=variables))
        site.get()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(site.get, ["/meet/4"] * 4))
        assert len({answer.text for answer in answers}) == 1 and {answer.status_code for answer in answers} == {200}


async def test_threads_stream_and_fail_apart(bench):
    code = """
import threading
everyone = threading.Barrier(2)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield environ["QUERY_STRING"].encode()
    everyone.wait(20)
    if environ["QUERY_STRING"] == "bad":
        raise ValueError("apart")
    yield b"!"
"""
    environment = await bench.start({"index.py": code}, handler="index:app", environment={"CUMULET_CONCURRENCY": "2"})
    answers = await asyncio.gather(*(bench.stream(environment, event_of(query)) for query in ("good", "bad")))
    assert answers[0][1].endswith(b"\0" * 8 + b"good!") and answers[0][0].error_type is None
    assert answers[1][1].endswith(b"\0" * 8 + b"bad") and answers[1][0].error_type == "ValueError"


ASGI = """
import os
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if "FAIL" in os.environ:
            return await send({"type": "lifespan.startup.failed", "message": "no database"})
        scope["state"]["opened"] = 1
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("closed", flush=True)
        return await send({"type": "lifespan.shutdown.complete"})
    await send({"type": "http.response.start", "status": 200 + scope["state"]["opened"]})
    await send({"type": "http.response.body", "body": b"ok"})

def make():
    return app
class Place:
    inner = app
"""


def event_of(query=""):
    context = {"http": {"method": "GET", "path": "/", "sourceIp": "1.2.3.4"}}
    return json.dumps({"version": "2.0", "rawPath": "/", "rawQueryString": query, "requestContext": context}).encode()


@pytest.mark.parametrize("handler", ["index:app", "index.app", "index:make()", "index:Place.inner"])
async def test_how_an_application_is_named(bench, handler):
    answer = await bench.run({"index.py": ASGI}, event_of(), handler=handler)
    assert json.loads(answer.payload)["statusCode"] == 201


@pytest.mark.parametrize(
    ("handler", "variables", "error_type", "words"),
    [
        ("index:app", {"FAIL": "1"}, "Web.StartupFailed", "no database"),
        ("index:nobody", {}, "Runtime.HandlerNotFound", "Application 'nobody' missing on module 'index'"),
        ("index:__name__", {}, "Runtime.HandlerNotFound", "Application '__name__' on module 'index' is not callable"),
        ("nowhere:app", {}, "Runtime.ImportModuleError", "Unable to import module 'nowhere': No module named 'nowhere'"),
    ],
)
async def test_an_application_that_cannot_be_served(bench, handler, variables, error_type, words):
    with pytest.raises(InitError) as raised:
        await bench.start({"index.py": ASGI}, handler=handler, environment=variables)
    assert raised.value.error_type == error_type and json.loads(raised.value.payload)["errorMessage"] == words


async def test_a_restored_application_starts_after_its_snapshot(bench):
    environment = await bench.start({"index.py": ASGI}, handler="index:app", version="1", is_snap_started=True)
    answer = await bench.call(environment, event_of())
    assert json.loads(answer.payload)["statusCode"] == 201


async def test_an_answer_of_more_than_six_megabytes(bench):
    code = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x' * (7 << 20)]\n"
    answer = await bench.run({"index.py": code}, event_of(), handler="index:app")
    assert answer.error_type == "Function.ResponseSizeTooLarge"


async def test_servers_that_break_the_rules(bench):
    silent = "def app(environ, start_response):\n    return [b'x']\nasync def nothing(scope, receive, send):\n    pass\n"
    for handler in ("index:app", "index:nothing"):
        answer = await bench.run({"index.py": silent}, event_of(), handler=handler)
        assert json.loads(answer.payload)["statusCode"] == 500
    assert b"RuntimeError: the application has not" in bench.output
