"""The environment variables of an execution environment, as Lambda's documentation lists them. Pure."""

from cumulet.runtimes.contract import FunctionSpec, Launch

TASK_ROOT = "/var/task"
RUNTIME_DIR = "/var/runtime"
LAYERS = "/opt"


def variables_of(spec: FunctionSpec, launch: Launch, *, python_version: str | None = None) -> dict[str, str]:
    """Reserved variables over the function's own; those that Lambda lets a function change are only defaults."""
    key_id, secret, token = launch.credentials
    changeable = shell_variables()
    if launch.endpoint:
        changeable["AWS_ENDPOINT_URL"] = launch.endpoint
    reserved = {
        "_HANDLER": spec.handler,
        "LAMBDA_TASK_ROOT": TASK_ROOT,
        "LAMBDA_RUNTIME_DIR": RUNTIME_DIR,
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": token,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": launch.log_stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": launch.initialization_type,
    }
    if spec.log_format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        reserved["AWS_LAMBDA_LOG_LEVEL"] = spec.application_log_level
    if python_version is not None:
        # What the user sets is searched first, as by any interpreter; then Lambda's own order.
        paths = [TASK_ROOT, f"{LAYERS}/python/lib/python{python_version}/site-packages", f"{LAYERS}/python", RUNTIME_DIR]
        own = spec.environment.get("PYTHONPATH")
        reserved["PYTHONPATH"] = ":".join([own, *paths] if own else paths)
    if spec.runtime.startswith("nodejs"):
        changeable["NODE_PATH"] = _node_path(spec.runtime)
    return changeable | dict(spec.environment) | reserved


def shell_variables() -> dict[str, str]:
    """What is the same for every function that does not say otherwise."""
    return {
        "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": f"/var/lang/lib:/lib64:/usr/lib64:{RUNTIME_DIR}:{RUNTIME_DIR}/lib:{TASK_ROOT}:{TASK_ROOT}/lib:/opt/lib",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "HOME": "/tmp",
    }


def _node_path(runtime: str) -> str:
    major = runtime.removeprefix("nodejs").removesuffix(".x")
    layers = f"{LAYERS}/nodejs/node{major}/node_modules:{LAYERS}/nodejs/node_modules"
    return f"{layers}:{RUNTIME_DIR}/node_modules:{RUNTIME_DIR}:{TASK_ROOT}"
