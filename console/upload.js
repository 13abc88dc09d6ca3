// The way of a file to the gateway. XMLHttpRequest tells how much is sent; fetch does not.

import { ApiError } from "./http.js";
import { kindOf } from "./filekinds.js";
import { credentials } from "./session.js";

/** → `{done, abort}`; `done` resolves to `{status, body}`. `progress(sent, total)` in bytes. */
export function upload(file, query, progress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => progress(event.loaded, event.total);
    request.onload = () =>
      request.status < 300
        ? resolve({ status: request.status, body: JSON.parse(request.responseText) })
        : reject(refusal(request));
    request.onerror = () => reject(new ApiError(0, { error: "unreachable" }));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
  });
  const kind = kindOf(file.name);
  request.open("POST", `/jobs?${query}`);
  for (const [name, value] of Object.entries(credentials())) request.setRequestHeader(name, value);
  request.setRequestHeader(
    "Content-Type",
    query.get("charset") ? `${kind.type}; charset=${query.get("charset")}` : kind.type,
  );
  if (kind.packing) request.setRequestHeader("Content-Encoding", kind.packing);
  request.send(file);
  return { done, abort: () => request.abort() };
}

function refusal(request) {
  let told = {};
  try {
    told = JSON.parse(request.responseText);
  } catch {
    // a proxy answered
  }
  const error = new ApiError(request.status, { error: `http_${request.status}`, ...told });
  error.jobId = request.getResponseHeader("Location")?.split("/").pop() ?? null;
  return error;
}
