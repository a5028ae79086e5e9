// The control API. Rules: the token is kept for this tab alone and goes into no address;
// an error is thrown with the sentence that the server has for it.

const KEY = "homeserver-token";

/** The token in the address's fragment, which is taken out of it, or the kept one. */
export function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found !== null) {
    sessionStorage.setItem(KEY, found);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY);
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

export class ApiError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(method, path, { query = {}, content, signal } = {}) {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) address.searchParams.set(name, value);
  }
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  const body = content === undefined ? undefined : JSON.stringify(content);
  let response;
  try {
    response = await fetch(address, { method, headers, body, signal, cache: "no-store" });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new ApiError(0, "the server does not answer; is it still running?");
  }
  if (response.ok) return response;
  let why = `${method} ${path}: ${response.status}`;
  try {
    why = (await response.json()).error ?? why;
  } catch {
    // An answer that is no JSON has no sentence.
  }
  throw new ApiError(response.status, why);
}

export const get = async (path, options) => (await ask("GET", path, options)).json();
export const post = async (path, content) => (await ask("POST", path, { content })).json();
export const patch = async (path, content) => (await ask("PATCH", path, { content })).json();
export const remove = async (path, options) => (await ask("DELETE", path, options)).json();

/** Save an answer as a file. */
export async function save(path, query, name) {
  const blob = await (await ask("GET", path, { query })).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The path of a server of ours. */
export const ofServer = (name, rest = "") => `/v1/servers/${encodeURIComponent(name)}${rest}`;

let description = null;

/** The OpenAPI document. */
export async function describe() {
  description ??= await get("/v1/openapi.json");
  return description;
}

/** Whether the control API has a route. */
export const has = (method, template) => description?.paths?.[template]?.[method.toLowerCase()] !== undefined;
