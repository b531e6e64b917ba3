/** Through which proxy a URL is reached: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as Go's httpproxy reads them and docker and podman with it. */

import { config } from "../config.ts";
import { inNetwork, isLoopback } from "./addresses.ts";

/** The proxy's URL, or undefined where there is none. Upper-case names win; this machine is never reached through one. */
export function proxyFor(url: URL): string | undefined {
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const proxy = variable(name);
  if (!proxy || isLoopback(url.host) || isExcepted(url)) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

/** An entry is `*`, an address, a network, a domain with all below it, or with a leading dot only what is below; each perhaps with a port. */
function isExcepted(url: URL): boolean {
  const host = url.hostname.toLowerCase().replace(/^\[|\]$/g, "");
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const entries = (variable("NO_PROXY") ?? "").toLowerCase().split(",");
  return entries.some((entry) => {
    const [, name = "", wantedPort] = /^\s*(\[.*\]|[^:]*|.*:.*:.*?)(?::(\d+))?\s*$/.exec(entry) ?? [];
    if (!name || (wantedPort && wantedPort !== port)) return false;
    const plain = name.replace(/^\[|\]$/g, "").replace(/^\*\./, ".");
    if (plain === "*" || plain === host || inNetwork(host, plain)) return true;
    return host.endsWith(plain.startsWith(".") ? plain : `.${plain}`);
  });
}

function variable(name: string): string | undefined {
  return config.variable(name) || config.variable(name.toLowerCase()) || undefined;
}
