/** Certificates of a test's own: a CA, and what it has signed, made by openssl. */

import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

export interface Certificates {
  authority: string;
  server: { certificate: string; key: string };
  client: { certificate: string; key: string };
}

/** PEM files in `directory`: the server's is for `address`. */
export function makeCertificates(directory: string, address: string): Certificates {
  const file = (name: string) => join(directory, name);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...newKey, "-subj", "/CN=test CA", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  const signed = (name: string, extension: string) => {
    writeFileSync(file(`${name}.ext`), extension);
    openssl("req", ...newKey, "-subj", `/CN=${name}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.csr`));
    const authority = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"];
    const extensions = ["-extfile", file(`${name}.ext`), "-days", "2"];
    openssl("x509", "-req", "-in", file(`${name}.csr`), ...authority, ...extensions, "-out", file(`${name}.pem`));
    return { certificate: file(`${name}.pem`), key: file(`${name}.key`) };
  };
  const server = signed("server", `subjectAltName=IP:${address}`);
  return { authority: file("ca.pem"), server, client: signed("client", "extendedKeyUsage=clientAuth") };
}

/** An address of this machine that is not loopback, where pod does not verify certificates; undefined where there is none. */
export function outerAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

function openssl(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
}
