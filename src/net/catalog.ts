/** What images there are: Docker Hub's search, and the lists of other registries. */

import { RegistryError } from "../errors.ts";
import { Connection } from "./connection.ts";
import { readWhole, send } from "./http.ts";
import { endpointsFor } from "./mirrors.ts";
import { readPages } from "./pages.ts";

/** A line of Docker Hub's answer. */
export interface HubResult {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
  is_automated: boolean;
}

const hubSearch = "https://index.docker.io/v1/search"; // what `docker search` asks; it wants no login
const limitBytes = 4 << 20;
const timeoutMs = 30_000;

/** At most `limit` of Docker Hub's repositories. Throws RegistryError. */
export async function searchHub(term: string, limit: number): Promise<HubResult[]> {
  const response = await send(`${hubSearch}?${new URLSearchParams({ q: term, n: String(limit) })}`, { timeoutMs });
  const bytes = await readWhole(response, limitBytes, "the answer of Docker Hub");
  if (!response.ok) throw new RegistryError(`search Docker Hub: status ${response.status}`, response.status);
  try {
    return (JSON.parse(new TextDecoder().decode(bytes)) as { results?: HubResult[] }).results ?? [];
  } catch {
    throw new RegistryError("search Docker Hub: the answer is not JSON", response.status);
  }
}

/** The names of all repositories of the registry at `host`, where it tells them. Throws RegistryError. */
export async function listRepositories(host: string, note: (text: string) => void): Promise<string[]> {
  const reference = { domain: host, path: "_catalog" };
  const endpoint = endpointsFor(reference).at(-1)!; // the registry itself comes last
  const connection = new Connection(endpoint, reference, note, { verb: "pull", scopes: ["registry:catalog:*"] });
  try {
    return await readPages(connection, "/v2/_catalog", "repositories");
  } catch (error) {
    if (!(error instanceof RegistryError) || ![401, 403, 404, 405].includes(error.status)) throw error;
    const hint = error.status < 404 ? `log in: pod login ${host}` : undefined;
    throw new RegistryError(`registry ${host} does not tell what it has (status ${error.status})`, error.status, {
      hint,
    });
  }
}
