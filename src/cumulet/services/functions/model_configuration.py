"""A version's configuration: from a request, judged, and back to the wire, with every unset field as AWS spells it. Pure.

The model's own constraints (enumerations, patterns) are checked before a request comes here; this file has the rules that the
model does not state.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from cumulet.core.errors import NotImplementedFault
from cumulet.services.functions.errors import Invalid, InvalidParameterValue
from cumulet.services.functions.model import Code, Configuration, FunctionVersion, LayerUse, Limits, lambda_time
from cumulet.services.functions.model_layers import base64_hash
from cumulet.services.functions.names import LATEST, Place

MAXIMUM_ENVIRONMENT_BYTES = 4096
MAXIMUM_LAYERS = 5
RESERVED_VARIABLES = frozenset(
    (
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "TZ",
    )
)
RETIRED_RUNTIMES = {
    "dotnetcore1.0": "dotnet8",
    "dotnetcore2.0": "dotnet8",
    "dotnetcore2.1": "dotnet8",
    "dotnetcore3.1": "dotnet8",
    "go1.x": "provided.al2023",
    "nodejs": "nodejs22.x",
    "nodejs10.x": "nodejs22.x",
    "nodejs12.x": "nodejs22.x",
    "nodejs14.x": "nodejs22.x",
    "nodejs4.3": "nodejs22.x",
    "nodejs4.3-edge": "nodejs22.x",
    "nodejs6.10": "nodejs22.x",
    "nodejs8.10": "nodejs22.x",
    "python2.7": "python3.13",
    "python3.6": "python3.13",
    "python3.7": "python3.13",
    "ruby2.5": "ruby3.4",
    "ruby2.7": "ruby3.4",
}
_UNSUPPORTED = (
    "ImageConfig",
    "FileSystemConfigs",
    "CodeSigningConfigArn",
    "TenancyConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "RuntimeConfig",
    "AcceleratorConfig",
    "PublishTo",
)
_PLAIN = {
    "Runtime": "runtime",
    "Handler": "handler",
    "Role": "role",
    "Description": "description",
    "Timeout": "timeout_s",
    "MemorySize": "memory_mb",
}
_RANGES = (("timeout", "timeout_s", 900), ("memorySize", "memory_mb", 10_240), ("ephemeralStorage.size", "ephemeral_mb", 10_240))


def refuse_unsupported(req: Mapping[str, Any]) -> None:
    """Raises NotImplementedFault for what a request asks and this node cannot give, rather than drop it silently."""
    for member in _UNSUPPORTED:
        if req.get(member):
            raise NotImplementedFault(f"{member} is not supported by this node")
    if req.get("PackageType") == "Image":
        raise NotImplementedFault("PackageType Image is not supported by this node: functions are deployed as zip archives")


def created(req: Mapping[str, Any], layers: Sequence[LayerUse]) -> Configuration:
    """The configuration that a CreateFunction request asks for."""
    if not req.get("Runtime") or not req.get("Handler"):
        raise InvalidParameterValue("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
    empty = Configuration(runtime=req["Runtime"], handler=req["Handler"], role=req["Role"])
    return updated(replace(empty, architecture=architecture_of(req) or "x86_64"), req, layers)


def updated(before: Configuration, req: Mapping[str, Any], layers: Sequence[LayerUse] | None) -> Configuration:
    """The configuration after a request that names some of its members; `layers` None: not named. Raises what is wrong."""
    changes: dict[str, Any] = {field: req[member] for member, field in _PLAIN.items() if req.get(member) is not None}
    if layers is not None:
        changes["layers"] = tuple(layers)
    if (environment := req.get("Environment")) is not None:
        changes["environment"] = dict(environment.get("Variables") or {})
    if req.get("EphemeralStorage"):
        changes["ephemeral_mb"] = req["EphemeralStorage"]["Size"]
    if (req.get("TracingConfig") or {}).get("Mode"):
        changes["tracing"] = req["TracingConfig"]["Mode"]
    if (dead_letter := req.get("DeadLetterConfig")) is not None:
        changes["dead_letter_arn"] = dead_letter.get("TargetArn") or None
    if req.get("KMSKeyArn") is not None:
        changes["kms_key_arn"] = req["KMSKeyArn"] or None
    if (vpc := req.get("VpcConfig")) is not None:
        changes["vpc"] = dict(vpc) if vpc.get("SubnetIds") or vpc.get("SecurityGroupIds") else None
    if (req.get("SnapStart") or {}).get("ApplyOn"):
        changes["snap_start"] = req["SnapStart"]["ApplyOn"]
    changes |= _logging(before, req.get("LoggingConfig"))
    after = replace(before, **changes)
    _judge(after, changes)
    return after


def architecture_of(req: Mapping[str, Any]) -> str | None:
    architectures = req.get("Architectures")
    return architectures[0] if architectures else None


def judge_size(code: Code, layers: Sequence[LayerUse], limits: Limits) -> None:
    """Raises InvalidParameterValue when code and layers together are more than an environment may unpack."""
    total = code.unzipped_bytes + sum(layer.unzipped_bytes for layer in layers)
    if total > limits.unzipped_bytes:
        raise InvalidParameterValue(
            f"Function code combined with layers exceeds the maximum allowed size of {limits.unzipped_bytes} bytes. "
            f"The actual size is {total} bytes."
        )


def described(version: FunctionVersion, place: Place, qualifier: str | None) -> dict[str, Any]:
    """The wire's FunctionConfiguration. `qualifier` is how the caller named the version, None for unqualified."""
    return {
        **listed(version, place, qualifier),
        # Code is judged and kept before a create or an update is answered: there is no pending state to tell of.
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "RuntimeVersionConfig": {"RuntimeVersionArn": runtime_version_arn(place, version.configuration.runtime)},
    }


def listed(version: FunctionVersion, place: Place, qualifier: str | None) -> dict[str, Any]:
    """The same as lists have it: without the state, as AWS leaves it out there."""
    configuration = version.configuration
    is_on = configuration.snap_start == "PublishedVersions" and version.version != LATEST
    found: dict[str, Any] = {
        "FunctionName": version.name,
        "FunctionArn": place.function_arn(version.name, qualifier),
        "Runtime": configuration.runtime,
        "Role": configuration.role,
        "Handler": configuration.handler,
        "CodeSize": version.code.code_bytes,
        "Description": configuration.description,
        "Timeout": configuration.timeout_s,
        "MemorySize": configuration.memory_mb,
        "LastModified": lambda_time(version.modified_ms),
        "CodeSha256": base64_hash(version.code.sha256),
        "Version": version.version,
        "TracingConfig": {"Mode": configuration.tracing},
        "RevisionId": version.revision_id,
        "PackageType": "Zip",
        "Architectures": [configuration.architecture],
        "EphemeralStorage": {"Size": configuration.ephemeral_mb},
        "SnapStart": {
            "ApplyOn": configuration.snap_start,
            "OptimizationStatus": "On" if is_on and configuration.runtime.startswith("python") else "Off",
        },
        "LoggingConfig": _described_logging(version),
    }
    if configuration.environment:
        found["Environment"] = {"Variables": dict(configuration.environment)}
    if configuration.layers:
        found["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.code_bytes} for layer in configuration.layers]
    if configuration.dead_letter_arn:
        found["DeadLetterConfig"] = {"TargetArn": configuration.dead_letter_arn}
    if configuration.kms_key_arn:
        found["KMSKeyArn"] = configuration.kms_key_arn
    if configuration.vpc is not None:
        vpc = configuration.vpc
        found["VpcConfig"] = {
            "SubnetIds": list(vpc.get("SubnetIds") or ()),
            "SecurityGroupIds": list(vpc.get("SecurityGroupIds") or ()),
            "VpcId": "",
            "Ipv6AllowedForDualStack": bool(vpc.get("Ipv6AllowedForDualStack")),
        }
    return found


def version_qualifier(version: FunctionVersion) -> str | None:
    """How a version is named where $LATEST goes without a qualifier."""
    return None if version.version == LATEST else version.version


def runtime_version_arn(place: Place, runtime: str) -> str:
    """Names the runtime in the form that clients expect; it identifies no build of AWS's."""
    return f"arn:aws:lambda:{place.region}::runtime:{hashlib.sha256(runtime.encode()).hexdigest()}"


def _described_logging(version: FunctionVersion) -> dict[str, str]:
    configuration = version.configuration
    found = {"LogFormat": configuration.log_format, "LogGroup": configuration.log_group or f"/aws/lambda/{version.name}"}
    if configuration.log_format == "JSON":
        found["ApplicationLogLevel"] = configuration.application_log_level
        found["SystemLogLevel"] = configuration.system_log_level
    return found


def _logging(before: Configuration, logging: Mapping[str, Any] | None) -> dict[str, str]:
    """What a LoggingConfig changes."""
    if not logging:
        return {}
    log_format = logging.get("LogFormat") or before.log_format
    if log_format == "Text" and (logging.get("ApplicationLogLevel") or logging.get("SystemLogLevel")):
        raise InvalidParameterValue(
            "To use ApplicationLogLevel or SystemLogLevel, you must set LogFormat to JSON: the Text format has no levels."
        )
    changes = {
        "log_format": log_format,
        "log_group": logging.get("LogGroup") or before.log_group,
        "application_log_level": logging.get("ApplicationLogLevel") or before.application_log_level,
        "system_log_level": logging.get("SystemLogLevel") or before.system_log_level,
    }
    if log_format == "Text":
        changes |= {"application_log_level": "INFO", "system_log_level": "INFO"}
    return changes


def _judge(configuration: Configuration, changes: Mapping[str, Any]) -> None:
    for shown, field, most in _RANGES:
        value = getattr(configuration, field)
        if value > most:
            raise Invalid(
                f"1 validation error detected: Value '{value}' at '{shown}' failed to satisfy constraint: "
                f"Member must have value less than or equal to {most}"
            )
    replacement = RETIRED_RUNTIMES.get(configuration.runtime)
    if replacement is not None:
        raise InvalidParameterValue(
            f"The runtime parameter of {configuration.runtime} is no longer supported for creating or updating AWS Lambda "
            f"functions. We recommend you use a supported runtime such as {replacement} while creating or updating functions."
        )
    if "environment" in changes:
        _judge_environment(configuration.environment)
    if "layers" in changes:
        _judge_layers(configuration.layers)
    if configuration.vpc is not None and not (configuration.vpc.get("SubnetIds") and configuration.vpc.get("SecurityGroupIds")):
        raise InvalidParameterValue("A VpcConfig needs both SubnetIds and SecurityGroupIds, or neither of them.")


def _judge_environment(environment: Mapping[str, str]) -> None:
    reserved = sorted(RESERVED_VARIABLES & environment.keys())
    if reserved:
        raise InvalidParameterValue(
            "Lambda was unable to configure your environment variables because the environment variables you have provided "
            "contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    text = orjson.dumps(dict(environment)).decode()
    if len(text.encode()) > MAXIMUM_ENVIRONMENT_BYTES:
        raise InvalidParameterValue(
            "Lambda was unable to configure your environment variables because the environment variables you have provided "
            f"exceeded the 4KB limit. String measured: {text}"
        )
    for name, value in environment.items():
        if "\x00" in value:
            raise InvalidParameterValue(f"The value of the environment variable {name} contains a NUL character.")


def _judge_layers(layers: Sequence[LayerUse]) -> None:
    if len(layers) > MAXIMUM_LAYERS:
        raise InvalidParameterValue(f"Cannot reference more than {MAXIMUM_LAYERS} layers.")
    names = [layer.arn.rpartition(":")[0] for layer in layers]
    for name in names:
        if names.count(name) > 1:
            raise InvalidParameterValue(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{name} is named more than once."
            )
