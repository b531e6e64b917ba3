/** Whom a TLS connection trusts, and who pod is there: the system's CAs, and containers-certs.d(5) with Docker's folders. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { config } from "../config.ts";
import { hasCode, PodError } from "../errors.ts";

/** As fetch takes it. */
export interface TlsOptions {
  rejectUnauthorized: boolean;
  /** PEM texts; undefined means the CAs that Bun carries. */
  ca?: string[];
  cert?: string;
  key?: string;
}

/** Where distributions keep the bundle of all CAs, in the order of Go's crypto/x509. */
const bundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

const known = new Map<string, TlsOptions>();

/** For requests to `url`; read once for each host. Throws PodError where a file can't be read or a key is missing. */
export function tlsFor(url: URL, insecure = false): TlsOptions | undefined {
  if (url.protocol !== "https:") return undefined;
  const key = `${url.host} ${insecure}`;
  let options = known.get(key);
  if (!options) {
    options = readOptions(url.host, insecure);
    known.set(key, options);
  }
  return options;
}

function readOptions(host: string, insecure: boolean): TlsOptions {
  const { authorities, client } = readHostFolder(host);
  const ca = insecure ? [] : [...systemAuthorities(), ...authorities];
  return { rejectUnauthorized: !insecure, ...(ca.length && { ca }), ...client };
}

/** The first folder of that name counts, as in containers/image; `*.crt` are CAs, `NAME.cert` and `NAME.key` a client's certificate. */
function readHostFolder(host: string): { authorities: string[]; client?: { cert: string; key: string } } {
  for (const folder of hostFolders(host)) {
    const names = list(folder);
    if (!names) continue;
    const authorities = names.filter((name) => name.endsWith(".crt")).map((name) => read(join(folder, name)));
    const certificate = names.find((name) => name.endsWith(".cert"));
    if (!certificate) return { authorities };
    const key = certificate.replace(/\.cert$/, ".key");
    if (!names.includes(key)) throw new PodError(`${join(folder, certificate)} has no ${key} beside it`);
    return { authorities, client: { cert: read(join(folder, certificate)), key: read(join(folder, key)) } };
  }
  return { authorities: [] };
}

function hostFolders(host: string): string[] {
  const name = host.includes(":") ? [host] : [host, `${host}:443`]; // URLs leave the usual port out
  const roots = [
    join(config.xdgConfigHome, "containers/certs.d"),
    "/etc/containers/certs.d",
    join(config.xdgConfigHome, "docker/certs.d"),
    "/etc/docker/certs.d",
  ];
  return roots.flatMap((root) => name.map((each) => join(root, each)));
}

/** SSL_CERT_FILE and SSL_CERT_DIR replace the system's bundle, as in OpenSSL and Go. */
function systemAuthorities(): string[] {
  const { sslCertFile, sslCertDir } = config;
  if (!sslCertFile && !sslCertDir) {
    const bundle = bundles.map(readIfThere).find((text) => text !== undefined);
    return bundle ? [bundle] : [];
  }
  const folders = (sslCertDir ?? "").split(":").filter(Boolean);
  const files = folders.flatMap((folder) => (list(folder) ?? []).map((name) => join(folder, name)));
  return [...(sslCertFile ? [read(sslCertFile)] : []), ...files.map(readIfThere).filter((text) => text !== undefined)];
}

function list(folder: string): string[] | undefined {
  try {
    return readdirSync(folder).toSorted();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw new PodError(`read ${folder}`, { cause: error });
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "EISDIR")) return undefined;
    throw new PodError(`read ${path}`, { cause: error });
  }
}

function read(path: string): string {
  const text = readIfThere(path);
  if (text === undefined) throw new PodError(`read ${path}: no such file`);
  return text;
}
