"""Messages against a route's models (JSON schema, draft 4)."""

from typing import Any

import orjson
from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable

from cumulet.core.patterns import PatternError
from cumulet.gateway.rest_api.validation import validator_of
from cumulet.gateway.websocket_api.call import Refused, RouteCall, server_error
from cumulet.gateway.websocket_api.compiled import DEFAULT_KEY


def check_message(call: RouteCall) -> None:
    """Raises Refused for a message that the model, which the selection names, does not allow. No model: anything goes."""
    models = call.route.models
    if not models:
        return
    key = call.route.model_key.evaluate(call.value_of) if call.route.model_key is not None else DEFAULT_KEY
    model = models.get(key) or models.get(DEFAULT_KEY)
    if model is None:
        return
    try:
        is_valid = _validator(call, model).is_valid(orjson.loads(call.body))
    except orjson.JSONDecodeError:
        is_valid = False
    except (SchemaError, Unresolvable, PatternError, RecursionError, KeyError):
        raise server_error() from None
    if not is_valid:
        raise Refused(400, "Invalid request body")


def _validator(call: RouteCall, model: str) -> Any:
    stage = call.stage
    found = stage.validators.get(model)
    if found is None:
        base = f"https://apigateway.amazonaws.com/restapis/{stage.api_id}/models/"
        schemas = {name: orjson.loads(text) for name, text in stage.schemas.items()}
        found = stage.validators[model] = validator_of(base, schemas, model)
    return found
