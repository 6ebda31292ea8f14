// Copies an index from one Meilisearch to another endpoint: settings first, then documents, page by page.
//
// npm install meilisearch
// OLD_URL=... OLD_KEY=... NEW_URL=... NEW_KEY=... npx tsx copy_index.ts INDEX

import { Meilisearch } from "meilisearch";

const PAGE = 1000;
const WAIT = { timeout: 600_000 };

function endpoint(name: string): Meilisearch {
  return new Meilisearch({ host: process.env[`${name}_URL`]!, apiKey: process.env[`${name}_KEY`]! });
}

async function copy(uid: string): Promise<void> {
  const [old, target] = [endpoint("OLD"), endpoint("NEW")];
  const source = old.index(uid);
  await target.createIndex(uid, { primaryKey: await source.fetchPrimaryKey() }).waitTask(WAIT);
  // Settings before documents: nothing is indexed twice.
  const set = await target.index(uid).updateSettings(await source.getSettings()).waitTask(WAIT);
  if (set.status !== "succeeded") throw new Error(`settings: ${set.error?.message}`);
  let copied = 0;
  for (;;) {
    const page = await source.getDocuments({ offset: copied, limit: PAGE });
    if (page.results.length === 0) break;
    const task = await target.index(uid).addDocuments(page.results).waitTask(WAIT);
    if (task.status !== "succeeded") throw new Error(`documents: ${task.error?.message}`);
    copied += page.results.length;
  }
  const found = (await target.index(uid).getStats()).numberOfDocuments;
  if (found !== copied) throw new Error(`${copied} documents were copied, and ${found} are there`);
  console.log(`${copied} documents copied`);
}

await copy(process.argv[2]!);
