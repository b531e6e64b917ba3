/** Looking for images by words: Docker Hub, or the registry that the term begins with. */

import { UsageError } from "./errors.ts";
import { listRepositories, searchHub } from "./net/catalog.ts";
import { defaultDomain } from "./reference.ts";

export interface SearchResult {
  name: string;
  description: string;
  stars: number;
  isOfficial: boolean;
  isAutomated: boolean;
}

/**
 * What fits `term`: `alpine`, or `quay.io/word` for another registry, of which the names are known and nothing else. Those with the
 * most stars come first. Throws UsageError where `limit` is not of 1 to 100, RegistryError.
 */
export async function search(term: string, limit: number, note: (text: string) => void): Promise<SearchResult[]> {
  if (limit < 1 || limit > 100) throw new UsageError(`limit ${limit} is outside the range of [1, 100]`);
  const [, host = defaultDomain, words = ""] = /^(?:([^/]*[.:][^/]*|localhost)\/)?(.*)$/.exec(term)!;
  if (/^(.*\.)?docker\.io$/.test(host)) return (await searchHub(words, limit)).map(toResult).toSorted(byStars);
  const names = (await listRepositories(host, note)).filter((name) => name.includes(words));
  return names.slice(0, limit).map((name) => toResult({ name: `${host}/${name}` }));
}

function toResult(found: Partial<Awaited<ReturnType<typeof searchHub>>[number]>): SearchResult {
  return {
    name: String(found.name),
    description: String(found.description ?? ""),
    stars: Number(found.star_count ?? 0),
    isOfficial: found.is_official === true,
    isAutomated: found.is_automated === true,
  };
}

function byStars(a: SearchResult, b: SearchResult): number {
  return b.stars - a.stars;
}
