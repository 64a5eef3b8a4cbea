"""Lambda's error documents for what happens to an environment from outside: its end, its limits. Pure."""

import signal

import orjson

from cumulet.runtimes.contract import Answer, Exit

MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100
"""The most that a function may answer as a whole."""

_SIGNAL_WORDS = {
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGTERM: "terminated",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGILL: "illegal instruction",
    signal.SIGSYS: "bad system call",
    signal.SIGINT: "interrupt",
    signal.SIGHUP: "hangup",
    signal.SIGPIPE: "broken pipe",
}


def error_document(error_type: str, message: str, request_id: str) -> bytes:
    """The document of an error that the platform, not the code, tells."""
    prefix = f"RequestId: {request_id} Error: " if request_id else ""
    return orjson.dumps({"errorType": error_type, "errorMessage": prefix + message})


def exit_words(exit: Exit) -> str:
    """`exit status 1`, `signal: killed`: as Lambda's log and documents say it."""
    if exit.signal is not None:
        return f"signal: {_SIGNAL_WORDS.get(signal.Signals(exit.signal), str(exit.signal))}"
    return f"exit status {exit.code}"


def exit_document(request_id: str, exit: Exit) -> tuple[str, bytes]:
    """(errorType, document) for an environment that ended by itself."""
    if exit.is_out_of_memory:
        return "Runtime.OutOfMemory", error_document("Runtime.OutOfMemory", "Runtime exited with error: signal: killed", request_id)
    if exit.signal is None and exit.code == 0:
        words = "Runtime exited without providing a reason"
    else:
        words = f"Runtime exited with error: {exit_words(exit)}"
    return "Runtime.ExitError", error_document("Runtime.ExitError", words, request_id)


def too_large(most_bytes: int) -> Answer:
    """The answer to a call whose code answered with more than it may."""
    message = f"Response payload size exceeded maximum allowed payload size ({most_bytes} bytes)."
    kind = "Function.ResponseSizeTooLarge"
    return Answer(error_document(kind, message, ""), kind)
