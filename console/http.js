// Requests to the gateway that served this page, and to nobody else.

import { credentials } from "./session.js";

/** An answer that is no success, with the service's own code and words. Status 0: there was no answer. */
export class ApiError extends Error {
  constructor(status, told) {
    super(typeof told.detail === "string" ? told.detail : told.error);
    Object.assign(this, {
      status,
      told,
      code: told.error,
      detail: told.detail ?? "",
      requestId: told.request_id ?? "",
    });
  }
}

const unauthorized = new Set();

/** Call `listener` whenever an answer says that a key is needed, or that this one is not taken. */
export function onUnauthorized(listener) {
  unauthorized.add(listener);
}

const LIMIT_MS = 5000;

/** Send a request; resolves to the Response, or raises ApiError. It has no time limit. */
export async function send(path, { method = "GET", headers = {}, body, signal } = {}) {
  const shown = credentials();
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { ...shown, ...headers },
      body,
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, { error: "unreachable", detail: String(error.message) });
  }
  if (!response.ok && response.status !== 304) throw await failure(response, shown);
  return response;
}

/** A JSON text; an integer beyond 2^53 is a BigInt, so that no digit is lost. */
export function exactly(text) {
  return JSON.parse(text, (_, value, context) => {
    const rounded = typeof value === "number" && !Number.isSafeInteger(value);
    return rounded && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value;
  });
}

/** The JSON of an answer, which a gateway that works gives within seconds; else it counts as unreachable. */
export async function get(path, { signal, ...options } = {}) {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    return await (await send(path, { ...options, signal: both })).json();
  } catch (error) {
    if (!limit.aborted || signal?.aborted) throw error;
    throw new ApiError(0, { error: "unreachable", detail: `no answer within ${LIMIT_MS / 1000} s` });
  }
}

export async function post(path, data) {
  return sendJson("POST", path, data);
}

export async function remove(path) {
  return sendJson("DELETE", path);
}

export async function patch(path, data) {
  return sendJson("PATCH", path, data);
}

async function sendJson(method, path, data) {
  const body = data === undefined ? undefined : JSON.stringify(data);
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await send(path, { method, headers, body });
  return answer.status === 204 ? null : answer.json();
}

async function failure(response, shown) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // not the service's own shape: a proxy answered
  }
  const error = new ApiError(response.status, { error: `http_${response.status}`, ...told });
  const current = shown.Authorization === credentials().Authorization; // else it is about the key before
  if (response.status === 401 && current) for (const listener of unauthorized) listener(error);
  return error;
}

/**
 * Server-sent events over fetch, which can bear a key where EventSource cannot. Yields `{name, id, data}`;
 * ends with the stream, raises ApiError where there is none.
 */
export async function* events(path, { signal, lastId } = {}) {
  const headers = lastId ? { "Last-Event-ID": lastId } : {};
  const response = await send(path, { headers: { Accept: "text/event-stream", ...headers }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parse(block);
      if (event) yield event;
    }
  }
}

function parse(block) {
  const fields = Object.fromEntries(
    block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
  );
  return fields.event ? { name: fields.event, id: fields.id, data: JSON.parse(fields.data) } : null;
}
