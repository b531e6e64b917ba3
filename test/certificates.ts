/** Certificates of a test's own: a CA, and what it has signed, made by openssl. */

import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

export interface Certificates {
  authority: string;
  server: { certificate: string; key: string };
  client: { certificate: string; key: string };
}

/** PEM files in `directory`: the server's is for `name`, like `IP:10.0.0.1` or `DNS:example.org`. */
export function makeCertificates(directory: string, name: string): Certificates {
  const file = (name: string) => join(directory, name);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...newKey, "-subj", "/CN=test CA", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  const signed = (subject: string, extension: string) => {
    writeFileSync(file(`${subject}.ext`), extension);
    openssl(
      "req",
      ...newKey,
      "-subj",
      `/CN=${subject}`,
      "-keyout",
      file(`${subject}.key`),
      "-out",
      file(`${subject}.csr`),
    );
    const authority = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"];
    const extensions = ["-extfile", file(`${subject}.ext`), "-days", "2"];
    openssl("x509", "-req", "-in", file(`${subject}.csr`), ...authority, ...extensions, "-out", file(`${subject}.pem`));
    return { certificate: file(`${subject}.pem`), key: file(`${subject}.key`) };
  };
  const server = signed("server", `subjectAltName=${name}`);
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
