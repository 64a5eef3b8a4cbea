"""Invoke: from the request to the invoker and back."""

import base64
import binascii
from typing import Any

import orjson

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.invoke.contract import Invocation
from cumulet.services.functions.errors import InvalidParameterValue, InvalidRequestContent, RequestTooLarge
from cumulet.services.functions.names import FunctionName, function_arn
from cumulet.services.functions.registry import Registry

MAX_SYNC_BYTES = 6 * 1024 * 1024
MAX_EVENT_BYTES = 1024 * 1024
_MAX_CLIENT_CONTEXT_BYTES = 3583


class InvokeOperations:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("Invoke")
    async def invoke(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        kind = req.get("InvocationType") or "RequestResponse"
        target = self._registry.name_of(ctx, req)
        payload = _payload(req.get("Payload") or b"", MAX_SYNC_BYTES if kind == "RequestResponse" else MAX_EVENT_BYTES)
        spec, _ = await self._registry.resolve(ctx.account, ctx.region, target.name, target.qualifier)
        if kind == "DryRun":
            return {"StatusCode": 204}
        invocation = Invocation(
            request_id=ctx.request_id,
            payload=payload,
            invoked_arn=function_arn(ctx, target.name, target.qualifier),
            client_context=_client_context(req.get("ClientContext")),
            is_log_tail_wanted=req.get("LogType") == "Tail",
        )
        if kind == "Event":
            return await self._accept(ctx, target, invocation)
        result = await self._registry.invoker.invoke(spec, invocation)
        answer: dict[str, Any] = {"StatusCode": 200, "Payload": result.payload, "ExecutedVersion": result.executed_version}
        if result.function_error is not None:
            answer["FunctionError"] = result.function_error
        if invocation.is_log_tail_wanted:
            answer["LogResult"] = base64.b64encode(result.log_tail).decode()
        return answer

    @operation("InvokeAsync")
    async def invoke_async(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)
        payload = _payload(req.get("InvokeArgs") or b"", MAX_EVENT_BYTES)
        await self._registry.resolve(ctx.account, ctx.region, target.name, target.qualifier)
        invocation = Invocation(ctx.request_id, payload, function_arn(ctx, target.name, target.qualifier))
        await self._accept(ctx, target, invocation)
        return {"Status": 202}

    async def _accept(self, ctx: Context, target: FunctionName, invocation: Invocation) -> dict[str, Any]:
        await self._registry.asynchronous.accept(
            account=ctx.account, region=ctx.region, name=target.name, qualifier=target.qualifier, invocation=invocation
        )
        return {"StatusCode": 202, "Payload": b""}


def _payload(payload: bytes, limit: int) -> bytes:
    """The event, `{}` for none. Raises RequestTooLarge and InvalidRequestContent."""
    if len(payload) > limit:
        raise RequestTooLarge(f"Request must be smaller than {limit} bytes for the InvokeFunction operation")
    if not payload:
        return b"{}"
    try:
        orjson.loads(payload)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestContent(f"Could not parse request body into json: {error}") from None
    return payload


def _client_context(text: str | None) -> str | None:
    if not text:
        return None
    try:
        decoded = base64.b64decode(text, validate=True)
        orjson.loads(decoded)
    except (binascii.Error, ValueError):
        raise InvalidRequestContent("Client context must be a valid Base64-encoded JSON object.") from None
    if len(decoded) > _MAX_CLIENT_CONTEXT_BYTES:
        raise InvalidParameterValue("Client context must be no more than 3583 bytes.")
    return decoded.decode()
