"""The second argument of every handler, as Lambda's documentation describes it."""

import json
import os
import time
from typing import Any, Dict, Optional, Tuple

_VARIABLES = ("FUNCTION_NAME", "FUNCTION_VERSION", "FUNCTION_MEMORY_SIZE", "LOG_GROUP_NAME", "LOG_STREAM_NAME")
_environment: Tuple[str, ...] = ()
"""The same for every call of an environment, so read at its first."""


class CognitoIdentity:
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, data: Dict[str, Any]) -> None:
        self.cognito_identity_id = data.get("cognitoIdentityId")
        self.cognito_identity_pool_id = data.get("cognitoIdentityPoolId")

    def __repr__(self) -> str:
        return "CognitoIdentity([cognito_identity_id=%s,cognito_identity_pool_id=%s])" % (
            self.cognito_identity_id,
            self.cognito_identity_pool_id,
        )


class Client:
    __slots__ = ("app_package_name", "app_title", "app_version_code", "app_version_name", "installation_id")

    def __init__(self, data: Dict[str, Any]) -> None:
        for name in self.__slots__:
            setattr(self, name, data.get(name))


class ClientContext:
    __slots__ = ("client", "custom", "env")

    def __init__(self, data: Dict[str, Any]) -> None:
        self.custom = data.get("custom")
        self.env = data.get("env")
        self.client = Client(data["client"]) if isinstance(data.get("client"), dict) else None


class LambdaContext:
    """One invocation's facts. `get_remaining_time_in_millis()` counts down to the function's timeout."""

    def __init__(self, call: Dict[str, Any]) -> None:
        self._is_streamed = bool(call.get("is_streamed"))
        self.aws_request_id = call["request_id"]
        self.invoked_function_arn = call["invoked_arn"]
        (
            self.function_name,
            self.function_version,
            self.memory_limit_in_mb,
            self.log_group_name,
            self.log_stream_name,
        ) = _environment or _read_environment()
        self.tenant_id = None
        self.identity = CognitoIdentity((_object(call["cognito_identity"]) if "cognito_identity" in call else None) or {})
        client_context = _object(call["client_context"]) if "client_context" in call else None
        self.client_context = ClientContext(client_context) if client_context is not None else None
        self._deadline_ms = call["deadline_ms"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int(self._deadline_ms - time.time() * 1000))

    @property
    def is_streamed(self) -> bool:
        """Beyond Lambda's: whoever called takes the answer while it is being made."""
        return self._is_streamed

    def log(self, message: Any) -> None:
        import sys

        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        shown = ", ".join("%s=%r" % (key, value) for key, value in sorted(vars(self).items()) if not key.startswith("_"))
        return "LambdaContext([%s])" % shown


def _read_environment() -> Tuple[str, ...]:
    global _environment
    _environment = tuple(os.environ["AWS_LAMBDA_" + name] for name in _VARIABLES)
    return _environment


def _object(text: Optional[str]) -> Optional[Dict[str, Any]]:
    if not text:
        return None
    data = json.loads(text)
    return data if isinstance(data, dict) else None
