// The Node.js runtime: loads the handler, then answers one event after the other, over the socket on file descriptor 3.
// A frame is 1 byte of kind, 4 of the head's length, 4 of the body's, then both; the head is JSON.
import Module, { createRequire } from "node:module";
import { existsSync, writeSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { Writable } from "node:stream";
import { format } from "node:util";
import { pathToFileURL } from "node:url";

const [INVOKE, RESULT, ERROR, READY, INIT_ERROR, SPECIALISE, PART] = [1, 2, 3, 4, 5, 6, 7];
const MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100;
const socket = new net.Socket({ fd: 3, readable: true, writable: true });
let requestId;

class RuntimeFault extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

function send(kind, head, body = Buffer.alloc(0)) {
  const packed = Buffer.from(JSON.stringify(head));
  const start = Buffer.alloc(9);
  start.writeUInt8(kind, 0);
  start.writeUInt32BE(packed.length, 1);
  start.writeUInt32BE(body.length, 5);
  return new Promise((done) => socket.write(Buffer.concat([start, packed, body]), done));
}

// Written at once and whole, so that everything is in the pipe before the answer is sent.
function write(text) {
  const data = Buffer.from(text);
  for (let at = 0; at < data.length; ) {
    try {
      at += writeSync(1, data, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

const isJson = () => process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";

function patchConsole() {
  const least = isJson() ? LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL ?? "INFO").toUpperCase()) : 0;
  const asText = (level, values) =>
    write(`${new Date().toISOString()}\t${requestId ?? "undefined"}\t${level}\t${format(...values).replaceAll("\n", "\0\n")}\n`);
  const asJson = (level, values) => {
    const entry = { timestamp: new Date().toISOString(), level, requestId };
    entry.message = values.length === 1 ? values[0] : format(...values);
    const error = values.length > 1 && values.find((value) => value instanceof Error);
    let line;
    try {
      line = JSON.stringify(error ? { ...entry, ...errorFields(error) } : entry, errorsAsFields);
    } catch {
      line = JSON.stringify({ ...entry, message: format(...values) }); // a circle, a BigInt: what JSON cannot say
    }
    write(`${line}\n`);
  };
  const names = { trace: "TRACE", debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN", error: "ERROR" };
  for (const [name, level] of Object.entries(names)) {
    console[name] = (...values) => LEVELS.indexOf(level) >= least && (isJson() ? asJson : asText)(level, values);
  }
}

const errorFields = (error) => ({ errorType: error.constructor?.name ?? "UnknownError", errorMessage: error.message, stackTrace: (error.stack ?? "").split("\n") });
const errorsAsFields = (_key, value) => (value instanceof Error ? { ...errorFields(value), ...value } : value);

function documentOf(error) {
  if (!(error instanceof Error)) {
    const isObject = typeof error === "object" && error !== null;
    return { errorType: isObject ? (error.name ?? "object") : typeof error, errorMessage: isObject ? (error.message ?? format(error)) : String(error), trace: [] };
  }
  return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? "").split("\n") };
}

function logError(what, document) {
  if (isJson()) {
    const { trace, ...message } = document;
    write(`${JSON.stringify({ timestamp: new Date().toISOString(), level: "ERROR", requestId, message: { ...message, stackTrace: trace } })}\n`);
    return;
  }
  write(`${new Date().toISOString()}\t${requestId ?? "undefined"}\tERROR\t${what}\t${JSON.stringify({ ...document, stack: document.trace, trace: undefined })}\n`);
}

async function loadModule(file) {
  const base = path.resolve(process.env.LAMBDA_TASK_ROOT, file);
  const require = createRequire(path.join(process.env.LAMBDA_TASK_ROOT, "index.js"));
  for (const ending of ["", ".js", ".mjs", ".cjs"]) {
    const candidate = base + ending;
    if (!existsSync(candidate) || (ending === "" && !/\.[cm]?js$/.test(candidate))) continue;
    if (candidate.endsWith(".mjs")) return import(pathToFileURL(candidate));
    if (candidate.endsWith(".cjs")) return require(candidate);
    try {
      return require(candidate);
    } catch (error) {
      if (error.code !== "ERR_REQUIRE_ESM" && !/Cannot use import statement|Unexpected token 'export'|await is only valid/.test(error.message)) throw error;
      return import(pathToFileURL(candidate));
    }
  }
  return require(require.resolve(file, { paths: [process.env.LAMBDA_TASK_ROOT] }));
}

async function loadHandler(name) {
  const slash = name.lastIndexOf("/") + 1;
  const [, stem, exported] = name.slice(slash).match(/^([^.]*)\.(.*)$/) ?? [];
  if (!stem || !exported || name.includes("..")) throw new RuntimeFault("Runtime.MalformedHandlerName", "Bad handler");
  let module;
  try {
    module = await loadModule(name.slice(0, slash) + stem);
  } catch (error) {
    if (error instanceof SyntaxError) throw Object.assign(new RuntimeFault("Runtime.UserCodeSyntaxError", `SyntaxError: ${error.message}`), { stack: error.stack });
    if (["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(error?.code)) throw Object.assign(new RuntimeFault("Runtime.ImportModuleError", `Error: ${error.message}`), { stack: error.stack });
    throw error;
  }
  const find = (root) => exported.split(".").reduce((value, key) => value?.[key], root);
  const handler = find(module) ?? find(module?.default);
  if (handler === undefined) throw new RuntimeFault("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof handler !== "function") throw new RuntimeFault("Runtime.HandlerNotFound", `${name} is not a function`);
  return handler;
}

function parsed(text) {
  return text ? JSON.parse(text) : undefined;
}

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HTTP_PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response";
const MAX_PART_BYTES = 1 << 20;

// What a streaming handler writes to. Nothing is sent before its first write, so that the content type can still be set.
class ResponseStream extends Writable {
  #requestId;
  #contentType = "application/octet-stream";
  #prelude;
  isBegun = false;

  constructor(id, options) {
    super({ highWaterMark: options?.highWaterMark ?? 64 * 1024 });
    this.#requestId = id;
  }

  setContentType(type) {
    if (this.isBegun) throw new RuntimeFault("Runtime.InvalidStreamingOperation", "Cannot set content-type, too late.");
    this.#contentType = type;
  }

  _setPrelude(metadata) {
    this.setContentType(HTTP_PRELUDE_TYPE);
    this.#prelude = Buffer.concat([Buffer.from(JSON.stringify(metadata)), Buffer.alloc(8)]);
  }

  // Also called for an answer of no bytes at all.
  _begin() {
    if (this.isBegun) return undefined;
    this.isBegun = true;
    return this.#part(this.#prelude ?? Buffer.alloc(0));
  }

  #part(data) {
    return send(PART, { request_id: this.#requestId, content_type: this.#contentType }, data);
  }

  write(chunk, ...rest) {
    if (chunk !== null && typeof chunk !== "string" && !(chunk instanceof Uint8Array)) chunk = JSON.stringify(chunk);
    return super.write(chunk, ...rest);
  }

  _write(chunk, encoding, done) {
    const data = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
    let sent = this._begin();
    for (let at = 0; at < data.length; at += MAX_PART_BYTES) sent = this.#part(data.subarray(at, at + MAX_PART_BYTES));
    Promise.resolve(sent).then(() => done(), done);
  }

  _final(done) {
    Promise.resolve(this._begin()).then(() => done(), done);
  }
}

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = "response";
    handler[Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark")] = options?.highWaterMark;
    return handler;
  },
  HttpResponseStream: class HttpResponseStream {
    static from(underlyingStream, prelude) {
      underlyingStream._setPrelude(prelude);
      return underlyingStream;
    }
  },
};

// Resolves when the handler is done and all that it wrote is sent.
async function runStreaming(handler, event, call) {
  const stream = new ResponseStream(call.request_id, { highWaterMark: handler[Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark")] });
  const failed = new Promise((_, reject) => stream.on("error", reject));
  const finished = new Promise((resolve) => stream.on("finish", resolve));
  const returned = handler(event, stream, contextOf(call));
  if (typeof returned?.then !== "function") throw new RuntimeFault("Runtime.HandlerNotAsync", "Streaming does not support non-async handlers.");
  await Promise.race([returned, failed]);
  if (!stream.writableEnded) settleWhenIdle(() => stream.end()); // a stream that is never ended ends with the event loop's work
  await Promise.race([finished, failed]);
  pending = undefined;
}

function contextOf(call) {
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    awsRequestId: call.request_id,
    invokedFunctionArn: call.invoked_arn,
    identity: parsed(call.cognito_identity),
    clientContext: parsed(call.client_context),
    getRemainingTimeInMillis: () => Math.max(0, call.deadline_ms - Date.now()),
  };
}

// Resolves with what the handler answers, by promise, callback or the old context methods.
function run(handler, event, call) {
  return new Promise((resolve, reject) => {
    let afterLoop = false;
    const callback = (error, result) => {
      const settle = () => (error === undefined || error === null ? resolve(result) : reject(error));
      if (!context.callbackWaitsForEmptyEventLoop || afterLoop) return settle();
      afterLoop = true;
      pending = settle;
      socket.unref();
    };
    const settleNow = (error, result) => {
      context.callbackWaitsForEmptyEventLoop = false;
      callback(error, result);
    };
    const context = Object.assign(contextOf(call), {
      succeed: (result) => settleNow(null, result),
      fail: (error) => settleNow(error ?? "handled", undefined),
      done: (error, result) => settleNow(error, result),
    });
    const returned = handler(event, context, callback);
    if (typeof returned?.then === "function") returned.then(resolve, reject);
    else if (handler.length < 3 && returned !== undefined) resolve(returned);
    // Neither a promise nor a callback within what the event loop holds: the answer is null.
    else if (handler.length < 3) settleWhenIdle(() => resolve(undefined));
  });
}

let pending;

function settleWhenIdle(settle) {
  pending ??= settle;
  socket.unref();
}

// The event loop is empty but for the socket: a callback that waits for that may now speak.
process.on("beforeExit", () => {
  if (pending) {
    const settle = pending;
    pending = undefined;
    socket.ref();
    settle();
  } else if (requestId !== undefined) {
    socket.ref();
    answerNull?.();
  }
});
let answerNull;

async function answer(handler, call, body) {
  requestId = call.request_id;
  if (call.trace_id) process.env._X_AMZN_TRACE_ID = call.trace_id;
  else delete process.env._X_AMZN_TRACE_ID;
  let result;
  try {
    const event = JSON.parse(body.toString("utf8"));
    if (handler[STREAMING] === "response") {
      await runStreaming(handler, event, call);
      socket.ref();
      await send(RESULT, { request_id: call.request_id });
      return;
    }
    result = await Promise.race([run(handler, event, call), new Promise((resolve) => (answerNull = () => resolve(null)))]);
    socket.ref();
    let encoded;
    try {
      encoded = Buffer.from(JSON.stringify(result === undefined ? null : result) ?? "null");
    } catch (error) {
      throw new RuntimeFault("Runtime.MarshalError", `Unable to stringify response body: ${error.message}`);
    }
    if (encoded.length > MAX_ANSWER_BYTES) {
      throw new RuntimeFault("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes).");
    }
    await send(RESULT, { request_id: call.request_id }, encoded);
  } catch (error) {
    socket.ref();
    const document = documentOf(error);
    logError("Invoke Error", document);
    await send(ERROR, { request_id: call.request_id, error_type: document.errorType }, Buffer.from(JSON.stringify(document)));
  } finally {
    requestId = undefined;
    answerNull = undefined;
    pending = undefined;
  }
}

async function fatal(name, error) {
  const document = documentOf(error);
  const wrapped = name === "Runtime.UnhandledPromiseRejection" ? { errorType: name, errorMessage: `${document.errorType}: ${document.errorMessage}`, trace: document.trace } : document;
  logError(name === "Runtime.UnhandledPromiseRejection" ? "Unhandled Promise Rejection" : "Uncaught Exception", wrapped);
  const body = Buffer.from(JSON.stringify(wrapped));
  if (requestId === undefined) await send(INIT_ERROR, { error_type: wrapped.errorType }, body);
  else await send(ERROR, { request_id: requestId, error_type: wrapped.errorType }, body);
  process.exit(128);
}

// Calls `take` with each whole frame: its kind, its head and its body.
function onFrames(take) {
  let buffer = Buffer.alloc(0);
  socket.on("data", (data) => {
    buffer = buffer.length ? Buffer.concat([buffer, data]) : data;
    while (buffer.length >= 9) {
      const kind = buffer.readUInt8(0);
      const [headSize, bodySize] = [buffer.readUInt32BE(1), buffer.readUInt32BE(5)];
      const end = 9 + headSize + bodySize;
      if (buffer.length < end) return;
      const head = JSON.parse(buffer.subarray(9, 9 + headSize).toString());
      const body = buffer.subarray(9 + headSize, end);
      buffer = buffer.subarray(end);
      take(kind, head, body);
    }
  });
  socket.on("end", () => process.exit(0));
}

// A shell has been somebody's since this frame: what a process of its own would have had at its start.
function specialise(variables) {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, variables);
  Module._initPaths(); // NODE_PATH
  process.chdir(process.env.LAMBDA_TASK_ROOT);
}

// What most handlers require: compiled while the shell is nobody's yet.
async function warmUp() {
  const names = ["assert", "async_hooks", "child_process", "crypto", "dns", "fs/promises", "http", "https", "os", "querystring", "stream", "stream/promises", "string_decoder", "timers/promises", "tls", "tty", "zlib"];
  const require = createRequire(import.meta.url);
  for (const name of names) require(`node:${name}`);
  await import("data:text/javascript,export default 1");
}

let handler;

async function init() {
  const started = performance.now();
  patchConsole();
  process.on("unhandledRejection", (error) => fatal("Runtime.UnhandledPromiseRejection", error));
  process.on("uncaughtException", (error) => fatal("Runtime.UncaughtException", error));
  try {
    handler = await loadHandler(process.env._HANDLER);
    await send(READY, { init_ms: performance.now() - started });
  } catch (error) {
    const document = documentOf(error);
    logError("Uncaught Exception", document);
    await send(INIT_ERROR, { error_type: document.errorType }, Buffer.from(JSON.stringify(document)));
    process.exit(1);
  }
}

onFrames((kind, head, body) => {
  if (kind === INVOKE) answer(handler, head, body);
  else if (kind === SPECIALISE) {
    specialise(JSON.parse(body.toString()));
    init();
  }
});
if (process.env._HANDLER === undefined) await warmUp();
else await init();
