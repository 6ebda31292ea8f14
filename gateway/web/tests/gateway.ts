// What tests ask of the gateway besides what a browser asks.

export type Json = Record<string, unknown>;

/** Sends a request; anything but success fails the test. */
export async function call(gateway: string, method: string, path: string, body?: unknown): Promise<Json> {
  const init = { method, headers: { "Content-Type": "application/json" }, ...(body !== undefined && { body: JSON.stringify(body) }) };
  const answer = await fetch(gateway + path, init);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return (text ? JSON.parse(text) : {}) as Json;
}

/** Sends a write and waits for its task. */
export async function done(gateway: string, method: string, path: string, body: unknown): Promise<void> {
  const { taskUid } = await call(gateway, method, path, body);
  for (;;) {
    const task = await call(gateway, "GET", `/tasks/${taskUid}`);
    if (task.status === "failed") throw new Error(JSON.stringify(task));
    if (task.finishedAt) return;
    await new Promise((go) => setTimeout(go, 20));
  }
}

/** Makes an index with documents. */
export async function give(gateway: string, uid: string, documents: Json[], settings: Json): Promise<void> {
  await done(gateway, "POST", "/indexes", { uid, primaryKey: "id" });
  await done(gateway, "PATCH", `/indexes/${uid}/settings`, settings);
  await done(gateway, "POST", `/indexes/${uid}/documents`, documents);
}
