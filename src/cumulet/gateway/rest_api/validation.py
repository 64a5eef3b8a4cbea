"""Request validators: required parameters, and bodies against models (JSON schema, draft 4)."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import orjson
from jsonschema import Draft4Validator, ValidationError
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT4

from cumulet.core.patterns import PatternError, compile_pattern
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.compiled import CompiledDeployment
from cumulet.gateway.rest_api.media import plain
from cumulet.gateway.rest_api.refusals import Refusal

_COMPILED = 1000
_LARGE_BYTES = 65_536
_SHOWN_ERRORS = 10


class Validation:
    """Compiles each deployment's models when they are first needed."""

    def __init__(self) -> None:
        self._validators: OrderedDict[tuple[str, str, str], Any] = OrderedDict()

    def check(self, call: Call) -> Awaitable[None] | None:
        """Raises Refusal, at once or when what it returns is awaited. A large body may take seconds: a thread looks at it."""
        method = call.method
        if method.is_parameters_validated:
            missing = [name for place, name in method.required if not _has(call, place, name)]
            if missing:
                names = ", ".join(missing)
                raise Refusal("BAD_REQUEST_PARAMETERS", f"Missing required request parameters: [{names}]", validation=names)
        if method.is_body_validated and method.models:
            if len(call.request.body) > _LARGE_BYTES:
                return asyncio.to_thread(self._check_body, call)
            self._check_body(call)
        return None

    def forget(self, api_id: str) -> None:
        for key in [key for key in self._validators if key[0] == api_id]:
            del self._validators[key]

    def _check_body(self, call: Call) -> None:
        kind = plain(call.header("content-type") or "") or "application/json"
        model = call.method.models.get(kind) or call.method.models.get("$default")
        if model is None:
            return
        try:
            body = orjson.loads(call.request.body)
            errors = [_words(error) for error, _ in zip(self._errors(call, model, body), range(_SHOWN_ERRORS), strict=False)]
        except orjson.JSONDecodeError:
            errors = ["Invalid JSON"]
        except (SchemaError, Unresolvable, PatternError, RecursionError):
            call.note(f"Execution failed due to configuration error: Invalid model {model}")
            raise Refusal("API_CONFIGURATION_ERROR", "Internal server error") from None
        if errors:
            found = "[" + ", ".join(errors) + "]"
            call.note(f"Request body does not match model schema for content type {kind}: {found}")
            raise Refusal("BAD_REQUEST_BODY", "Invalid request body", validation=found)

    def _errors(self, call: Call, model: str, body: Any) -> Iterator[ValidationError]:
        key = (call.stage.api_id, call.stage.deployment_id, model)
        validator = self._validators.get(key)
        if validator is None:
            validator = self._validators[key] = _make_validator(call.stage.api_id, call.stage.deployment, model)
            while len(self._validators) > _COMPILED:
                self._validators.popitem(last=False)
        found: Iterator[ValidationError] = validator.iter_errors(body)
        return found


def _has(call: Call, place: str, name: str) -> bool:
    match place:
        case "path":
            return bool(call.path_parameters.get(name))
        case "querystring" | "multivaluequerystring":
            return bool(call.query.get(name))
    return bool(call.header_values(name))


def _make_validator(api_id: str, deployment: CompiledDeployment, model: str) -> Any:
    """Models refer to each other by `https://apigateway.amazonaws.com/restapis/{api id}/models/{name}`."""
    schemas = {name: orjson.loads(each.get("schema") or "{}") for name, each in deployment.models.items()}
    return validator_of(f"https://apigateway.amazonaws.com/restapis/{api_id}/models/", schemas, model)


def validator_of(base: str, schemas: Mapping[str, Any], model: str) -> Any:
    """A validator of one of the schemas, which refer to each other by `base` and their names."""
    registry: Registry[Any] = Registry().with_resources(
        (base + name, DRAFT4.create_resource(schema)) for name, schema in schemas.items()
    )
    return _Validator({"$ref": base + model}, registry=registry)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """In linear time, unlike the standard library's."""
    if isinstance(instance, str) and compile_pattern(pattern).search(instance) is None:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    for pattern, below in patterns.items() if isinstance(instance, dict) else ():
        found: Callable[[str], Any] = compile_pattern(pattern).search
        for name, value in instance.items():
            if found(name) is not None:
                yield from validator.descend(value, below, path=name, schema_path=pattern)


_Validator = extend(Draft4Validator, {"pattern": _pattern, "patternProperties": _pattern_properties})


def _words(error: ValidationError) -> str:
    place = "/".join(str(part) for part in error.absolute_path)
    return f"{error.message[:300]}" + (f" at /{place}" if place else "")
