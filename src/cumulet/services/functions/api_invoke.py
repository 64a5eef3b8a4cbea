"""Operations that run a function: now and answered with its result, later and answered at once, or not at all."""

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any

import orjson

from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.invoke.contract import AsyncInvoker, Invocation, Invoker
from cumulet.invoke.streaming import StreamedInvocation, invoke_streamed
from cumulet.services.functions.errors import InvalidParameterValue, InvalidRequestContent, RequestTooLarge
from cumulet.services.functions.model import Limits
from cumulet.services.functions.names import FunctionRef, function_ref, place_of
from cumulet.services.functions.resolution import Resolution

MAXIMUM_CLIENT_CONTEXT_BYTES = 3583
MAXIMUM_INVOKE_ASYNC_BYTES = 262_144


class InvokeOperations:
    def __init__(self, resolution: Resolution, invoker: Invoker, async_invoker: AsyncInvoker, limits: Limits) -> None:
        self._resolution = resolution
        self._invoker = invoker
        self._async_invoker = async_invoker
        self._limits = limits

    @operation("Invoke")
    async def invoke(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        ref = function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
        for member in ("TenantId", "DurableExecutionName"):
            if req.get(member):
                raise NotImplementedFault(f"{member} is not supported by this node")
        kind = req.get("InvocationType") or "RequestResponse"
        payload = req.get("Payload") or b"{}"
        if kind == "Event":
            await self._accept(ctx, ref, payload, self._limits.async_payload_bytes, "Invoke")
            return {"StatusCode": 202, "Payload": b""}
        _judge_payload(payload, self._limits.sync_payload_bytes, "Invoke")
        client_context = _client_context(req.get("ClientContext"))
        spec, _ = await self._resolution.resolve(ctx.account, ctx.region, ref.name, ref.qualifier)
        if kind == "DryRun":
            return {"StatusCode": 204, "Payload": b"", "ExecutedVersion": spec.version}
        is_log_tail_wanted = req.get("LogType") == "Tail"
        invocation = Invocation(
            request_id=ctx.request_id,
            payload=payload,
            invoked_arn=place_of(ctx).function_arn(ref.name, ref.qualifier),
            client_context=client_context,
            is_log_tail_wanted=is_log_tail_wanted,
        )
        result = await self._invoker.invoke(spec, invocation)
        answer: dict[str, Any] = {"StatusCode": 200, "Payload": result.payload, "ExecutedVersion": result.executed_version}
        if result.function_error is not None:
            answer["FunctionError"] = result.function_error
        if is_log_tail_wanted:
            answer["LogResult"] = base64.b64encode(result.log_tail).decode()
        return answer

    @operation("InvokeWithResponseStream")
    async def invoke_with_response_stream(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        ref = function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
        if req.get("TenantId"):
            raise NotImplementedFault("TenantId is not supported by this node")
        payload = req.get("Payload") or b"{}"
        _judge_payload(payload, self._limits.sync_payload_bytes, "InvokeWithResponseStream")
        client_context = _client_context(req.get("ClientContext"))
        spec, _ = await self._resolution.resolve(ctx.account, ctx.region, ref.name, ref.qualifier)
        if req.get("InvocationType") == "DryRun":
            return {"StatusCode": 204, "ExecutedVersion": spec.version, "EventStream": _no_events()}
        is_log_tail_wanted = req.get("LogType") == "Tail"
        invocation = Invocation(
            request_id=ctx.request_id,
            payload=payload,
            invoked_arn=place_of(ctx).function_arn(ref.name, ref.qualifier),
            client_context=client_context,
            is_log_tail_wanted=is_log_tail_wanted,
        )
        streamed = await invoke_streamed(self._invoker, spec, invocation)
        return {"StatusCode": 200, "ExecutedVersion": spec.version, "EventStream": _events(streamed, is_log_tail_wanted)}

    @operation("InvokeAsync")
    async def invoke_async(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        ref = function_ref(ctx, req["FunctionName"])
        await self._accept(ctx, ref, req.get("InvokeArgs") or b"{}", MAXIMUM_INVOKE_ASYNC_BYTES, "InvokeAsync")
        return {"Status": 202}

    async def _accept(self, ctx: Context, ref: FunctionRef, payload: bytes, most: int, operation: str) -> None:
        _judge_payload(payload, most, operation)
        await self._resolution.resolve(ctx.account, ctx.region, ref.name, ref.qualifier)  # only what exists is accepted
        invocation = Invocation(ctx.request_id, payload, place_of(ctx).function_arn(ref.name, ref.qualifier))
        await self._async_invoker.accept(
            account=ctx.account, region=ctx.region, name=ref.name, qualifier=ref.qualifier, invocation=invocation
        )


async def _events(streamed: StreamedInvocation, is_log_tail_wanted: bool) -> AsyncIterator[dict[str, Any]]:
    """The function's answer in chunks, then how it ended."""
    async for part in streamed.parts():
        yield {"PayloadChunk": {"Payload": part}}
    result = await streamed.result
    complete: dict[str, Any] = {}
    if result.function_error is not None:
        complete = {"ErrorCode": _error_type(result.payload), "ErrorDetails": result.payload.decode("utf-8", "replace")}
    if is_log_tail_wanted:
        complete["LogResult"] = base64.b64encode(result.log_tail).decode()
    yield {"InvokeComplete": complete}


async def _no_events() -> AsyncIterator[dict[str, Any]]:
    nothing: tuple[dict[str, Any], ...] = ()
    for event in nothing:
        yield event


def _error_type(document: bytes) -> str:
    try:
        return str(orjson.loads(document)["errorType"])
    except (ValueError, KeyError, TypeError):
        return "Unhandled"  # a custom runtime may answer with what is no document


def _judge_payload(payload: bytes, most: int, operation: str) -> None:
    if len(payload) > most:
        raise RequestTooLarge(f"Request must be smaller than {most} bytes for the {operation} operation")
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestContent(f"Could not parse request body into json: {error}") from None


def _client_context(text: str | None) -> str | None:
    """The JSON text in a client context. Raises InvalidRequestContent, InvalidParameterValue when it is too long."""
    if not text:
        return None
    if len(text) > MAXIMUM_CLIENT_CONTEXT_BYTES:
        raise InvalidParameterValue(f"The client context must not be longer than {MAXIMUM_CLIENT_CONTEXT_BYTES} bytes.")
    try:
        decoded = base64.b64decode(text, validate=True)
        is_object = isinstance(orjson.loads(decoded), dict)
    except (binascii.Error, ValueError):
        is_object = False
    if not is_object:
        raise InvalidRequestContent("Client context must be a valid Base64-encoded JSON object.")
    return decoded.decode()
