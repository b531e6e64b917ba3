/** Names without a registry: Docker's rule is docker.io; containers-registries.conf(5) may say otherwise. */

import { formatReference, parseReference, type Reference } from "./reference.ts";
import { readRegistries } from "./registries.ts";

/**
 * What `text` may mean, the first to be tried first. An alias is the only meaning; else there is one for each of
 * unqualified-search-registries, and Docker's where the user has none. Throws UsageError as parseReference does.
 */
export function meaningsOf(text: string): Reference[] {
  const usual = parseReference(text);
  const [, name = "", suffix = ""] = /^([^:@]*)(.*)$/s.exec(text) ?? [];
  if (!isShort(text, usual)) return [usual];
  const { aliases, searched } = readRegistries();
  const alias = aliases.get(name);
  if (alias) return [parseReference(alias + suffix)];
  return searched.length ? searched.map((registry) => parseReference(`${registry}/${text}`)) : [usual];
}

/** No registry was named: adding docker.io changes nothing. */
function isShort(text: string, usual: Reference): boolean {
  try {
    return formatReference(parseReference(`docker.io/${text}`)) === formatReference(usual);
  } catch {
    return false;
  }
}
