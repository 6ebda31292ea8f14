// Requests to the gateway that served this page, as the session of its cookie.

/** What is before `/_miroir/admin` in the page's address: the gateway may stand behind a path prefix. */
export const root = location.pathname.replace(/\/_miroir\/admin\/?$/, "");

/** The session's token; every request that is no GET carries it. */
let token = "";

export function setToken(value: string | null): void {
  token = value ?? "";
}

/** A refusal by the gateway, in its own words, or the want of any answer. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = "",
    readonly retryAfter = 0,
  ) {
    super(message);
  }

  /** Whether this gateway does not have the route at all, or has what it is about switched off. */
  get absent(): boolean {
    return (this.status === 404 && this.code === "") || this.status === 405 || this.code === "feature_not_enabled";
  }
}

/** Called when the session is over. */
let signedOut: () => void = () => {};

export function onSignedOut(act: () => void): void {
  signedOut = act;
}

export interface Sent {
  method?: string;
  body?: unknown;
  /** A body as it is, with its media type. */
  raw?: { body: BodyInit; type: string };
  signal?: AbortSignal;
}

export function headers(sent: Sent): Record<string, string> {
  const all: Record<string, string> = {};
  if (sent.raw) all["content-type"] = sent.raw.type;
  else if (sent.body !== undefined) all["content-type"] = "application/json";
  if (token && (sent.method ?? "GET") !== "GET") all["x-csrf-token"] = token;
  return all;
}

/** Sends a request and gives the whole answer, whatever its status. */
export async function send(path: string, sent: Sent = {}): Promise<Response> {
  const body = sent.raw ? sent.raw.body : sent.body === undefined ? undefined : JSON.stringify(sent.body);
  try {
    return await fetch(root + path, {
      method: sent.method ?? "GET",
      headers: headers(sent),
      credentials: "same-origin",
      cache: "no-store",
      ...(body === undefined ? {} : { body }),
      ...(sent.signal ? { signal: sent.signal } : {}),
    });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Refusal(0, "The gateway does not answer. It may be restarting: this page tries again by itself.");
  }
}

/** Turns an answer of 400 or more into a refusal. */
export async function refusalOf(answer: Response): Promise<Refusal> {
  const text = await answer.text().catch(() => "");
  let message = text;
  let code = "";
  try {
    const error = JSON.parse(text) as { message?: string; code?: string };
    message = error.message ?? text;
    code = error.code ?? "";
  } catch {
    // Not the gateway's own form: a proxy before it may have answered.
  }
  const after = Number(answer.headers.get("retry-after") ?? 0);
  return new Refusal(answer.status, message || `The gateway answered ${answer.status}.`, code, after);
}

/** Sends a request and gives its JSON; throws a `Refusal` for a status of 400 or more. */
export async function ask<T>(path: string, sent: Sent = {}): Promise<T> {
  const answer = await send(path, sent);
  if (answer.ok) {
    const text = await answer.text();
    return (text ? JSON.parse(text) : null) as T;
  }
  const refusal = await refusalOf(answer);
  // A gateway without a master key refuses to list keys, whoever asks.
  if (answer.status === 401 && refusal.code !== "missing_master_key" && !path.endsWith("/admin/login")) signedOut();
  throw refusal;
}

export const post = <T>(path: string, body: unknown): Promise<T> => ask<T>(path, { method: "POST", body });
export const patch = <T>(path: string, body: unknown): Promise<T> => ask<T>(path, { method: "PATCH", body });
export const put = <T>(path: string, body: unknown): Promise<T> => ask<T>(path, { method: "PUT", body });
export const remove = <T>(path: string): Promise<T> => ask<T>(path, { method: "DELETE" });

/** A part of a path, whatever a name holds. */
export const part = encodeURIComponent;

/** Query parameters, without empty ones. */
export function query(parameters: Record<string, string | number | undefined | null>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

/** Sends a file with its progress, from 0 to 1. */
export function upload(
  path: string,
  file: Blob,
  type: string,
  progress: (share: number) => void,
): Promise<{ taskUid: number }> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", root + path);
    request.setRequestHeader("content-type", type);
    request.setRequestHeader("x-csrf-token", token);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => failed(new Refusal(0, "The gateway stopped answering while the file was sent."));
    request.onload = () => {
      let answer: { message?: string; code?: string; taskUid?: number } = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // Told below by the status.
      }
      if (request.status < 400 && answer.taskUid !== undefined) done(answer as { taskUid: number });
      else failed(new Refusal(request.status, answer.message ?? `The gateway answered ${request.status}.`, answer.code));
    };
    request.send(file);
  });
}
