"""Test invocations: a method, or an authorizer, of an API as it is now, run without being deployed and told with its log."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cumulet.core import ids
from cumulet.core.http import Request, Response
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.compiled import CompiledMethod, CompiledStage, compile_deployment
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.gateway.rest_api.serving import Serving, unmatched_method
from cumulet.services.rest_apis.model import Document, Place

_STAGE = "test-invoke-stage"


class Trials:
    """What `TestInvokeMethod` and `TestInvokeAuthorizer` run. Nobody's credentials, keys or quotas are asked for."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def invoke_method(self, place: Place, snapshot: Document, path: str, method: str, given: Mapping[str, Any]) -> Document:
        """The result in the members of `TestInvokeMethodResponse`. `path` is the resource's own where none is given."""
        stage = self._stage(place, snapshot, given)
        asked, _, query = (given.get("pathWithQueryString") or path).partition("?")
        request = _request(method, asked, query, given)
        matched = stage.deployment.routes.match(asked, method)
        target = next((each for each in _methods(stage, snapshot, path, method)), None)
        if matched is None or target is None:
            target, variables = target or unmatched_method(method), {}
        else:
            variables = matched[1] if matched[0].resource_path == path else {}
        call = self._call(stage, target, request, asked, variables)
        call.note(f"Execution log for request {call.request_id}")
        call.note(f"Starting execution for request: {call.request_id}")
        call.note(f"HTTP Method: {method}, Resource Path: {asked}")
        started = time.perf_counter()
        answer = self._serving.run(call)
        response = answer if isinstance(answer, Response) else await answer
        call.note(f"Method completed with status: {response.status}")
        body = response.body if isinstance(response.body, bytes) else b"".join([part async for part in response.body])
        multi: dict[str, list[str]] = {}
        for name, value in response.headers:
            multi.setdefault(name, []).append(value)
        return {
            "status": response.status,
            "body": body.decode("utf-8", "replace"),
            "headers": {name: values[-1] for name, values in multi.items()},
            "multiValueHeaders": multi,
            "log": _log(call),
            "latency": int((time.perf_counter() - started) * 1000),
        }

    async def invoke_authorizer(self, place: Place, snapshot: Document, authorizer: Document, given: Mapping[str, Any]) -> Document:
        """The result in the members of `TestInvokeAuthorizerResponse`."""
        stage = self._stage(place, snapshot, given)
        asked, _, query = (given.get("pathWithQueryString") or "/").partition("?")
        call = self._call(stage, unmatched_method("GET"), _request("GET", asked, query, given), asked, {})
        call.context.update(given.get("additionalContext") or {})
        started = time.perf_counter()
        answer: Document = {"clientStatus": 0}
        try:
            grant, policy = await self._serving.access.try_authorizer(call, authorizer)
            answer |= {"principalId": grant.principal, "policy": policy}
            answer["authorization"] = {name: [str(value)] for name, value in grant.context.items()}
        except Refusal as refusal:
            answer["clientStatus"] = refusal.usual_status
            call.note(f"Unauthorized request: {call.request_id}")
        return answer | {"log": _log(call), "latency": int((time.perf_counter() - started) * 1000)}

    def _stage(self, place: Place, snapshot: Document, given: Mapping[str, Any]) -> CompiledStage:
        deployment = compile_deployment("test", snapshot)
        return CompiledStage(place, snapshot["api"]["id"], _STAGE, deployment, given.get("stageVariables") or {}, {}, False)

    def _call(self, stage: CompiledStage, method: CompiledMethod, request: Request, path: str, variables: dict[str, str]) -> Call:
        exchange = Exchange(request, "testPrefix.testDomainName", ids.request_id())
        call = self._serving.call_of(exchange, stage, method, path, path, variables)
        call.exchange, call.log = None, []
        return call


def _methods(stage: CompiledStage, snapshot: Document, path: str, method: str) -> list[CompiledMethod]:
    """The method that was named, whatever its path would match."""
    filled = path.replace("+}", "}").replace("{", "").replace("}", "")
    found = stage.deployment.routes.match(filled, method)
    return [found[0]] if found is not None and found[0].resource_path == path else []


def _request(method: str, path: str, query: str, given: Mapping[str, Any]) -> Request:
    pairs = [(name, value) for name, values in (given.get("multiValueHeaders") or {}).items() for value in values]
    known = {name.lower() for name, _ in pairs}
    pairs += [(name, value) for name, value in (given.get("headers") or {}).items() if name.lower() not in known]
    body = (given.get("body") or "").encode("utf-8", "replace")
    names = [name.encode("latin-1", "replace") for name, _ in pairs]
    headers = [(name.lower(), value) for name, value in pairs]
    source = "test-invoke-source-ip"
    return Request(method, quote(path, safe="/%:@!$&'()*+,;=-._~"), query, headers, body, source, names=names)


def _log(call: Call) -> str:
    now = datetime.fromtimestamp(call.now_ms / 1000, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
    return "".join(f"{now} : {line}\n" for line in call.log or ())
