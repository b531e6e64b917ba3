/** Lists that registries give page by page (distribution spec 1.1, "Listing Tags"; `_catalog` likewise). */

import { RegistryError } from "../errors.ts";
import type { Connection } from "./connection.ts";
import { readWhole } from "./http.ts";

const pageLimitBytes = 4 << 20;
const pageLimit = 1000;

/** The texts below `field` of all pages of `path`, in the registry's order. */
export async function readPages(
  connection: Connection,
  path: string,
  field: "tags" | "repositories",
): Promise<string[]> {
  const found: string[] = [];
  let url = `${path}?n=1000`;
  for (let page = 0; url && page < pageLimit; page++) {
    const response = await connection.retry(() => connection.ask(url, {}));
    const bytes = await readWhole(response, pageLimitBytes, `the ${field} of ${connection.host}`);
    found.push(...parsePage(bytes, field, connection.host));
    const link = /<([^>]+)>\s*;[^,]*rel="?next"?/.exec(response.headers.get("link") ?? "")?.[1];
    url = link ? new URL(link, response.url).href : "";
  }
  return found;
}

function parsePage(bytes: Uint8Array, field: string, host: string): string[] {
  try {
    const list = (JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>)[field] ?? [];
    if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  } catch {
    // said below
  }
  throw new RegistryError(`${host} did not list its ${field} as the distribution spec has it`, 200);
}
