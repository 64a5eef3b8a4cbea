"""Records as the API shows them. Pure."""

from typing import Any

from cumulet.core.context import Context
from cumulet.services.functions.model import Alias, Function, LayerVersion, Version
from cumulet.services.functions.names import LATEST, function_arn, layer_arn


def configuration(
    ctx: Context, function: Function, version: Version, layer_sizes: dict[str, int], qualifier: str | None = None
) -> dict[str, Any]:
    """FunctionConfiguration. `qualifier` is what the request named, and so what the ARN shows."""
    config = version.config
    shown = qualifier or (None if version.version == LATEST else version.version)
    result: dict[str, Any] = {
        "FunctionName": function.name,
        "FunctionArn": function_arn(ctx, function.name, shown),
        "Description": version.description,
        "CodeSize": version.code.size,
        "CodeSha256": version.code.sha256,
        "LastModified": version.last_modified,
        "Version": version.version,
        "RevisionId": version.revision_id,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "SnapStart": {"ApplyOn": (config.get("SnapStart") or {}).get("ApplyOn", "None"), "OptimizationStatus": "Off"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": f"arn:aws:lambda:{ctx.region}::runtime:{config['Runtime']}"},
    }
    plain = ("Runtime", "Role", "Handler", "Timeout", "MemorySize", "PackageType", "Architectures", "EphemeralStorage")
    result.update({key: config[key] for key in (*plain, "TracingConfig", "LoggingConfig", "KMSKeyArn") if config.get(key)})
    if variables := (config.get("Environment") or {}).get("Variables"):
        result["Environment"] = {"Variables": variables}
    if config.get("Layers"):
        result["Layers"] = [{"Arn": arn, "CodeSize": layer_sizes.get(arn, 0)} for arn in config["Layers"]]
    if (config.get("DeadLetterConfig") or {}).get("TargetArn"):
        result["DeadLetterConfig"] = config["DeadLetterConfig"]
    vpc = config.get("VpcConfig") or {}
    if vpc.get("SubnetIds"):
        result["VpcConfig"] = {
            "SubnetIds": vpc["SubnetIds"],
            "SecurityGroupIds": vpc.get("SecurityGroupIds", []),
            "VpcId": "vpc-cumulet",
        }
    return result


def alias(ctx: Context, name: str, record: Alias) -> dict[str, Any]:
    result: dict[str, Any] = {
        "AliasArn": function_arn(ctx, name, record.name),
        "Name": record.name,
        "FunctionVersion": record.version,
        "Description": record.description,
        "RevisionId": record.revision_id,
    }
    if record.weights:
        result["RoutingConfig"] = {"AdditionalVersionWeights": record.weights}
    return result


def layer_version(ctx: Context, record: LayerVersion) -> dict[str, Any]:
    result: dict[str, Any] = {
        "LayerVersionArn": layer_arn(ctx, record.name, record.version),
        "Version": record.version,
        "Description": record.description,
        "CreatedDate": record.created,
    }
    if record.runtimes:
        result["CompatibleRuntimes"] = list(record.runtimes)
    if record.architectures:
        result["CompatibleArchitectures"] = list(record.architectures)
    if record.license:
        result["LicenseInfo"] = record.license
    return result
