/** The starter image: Debian's busybox-static as an OCI image layout in one tar, so that pod can run something with no registry in reach. */

import { existsSync, readFileSync, statSync } from "node:fs";
import { ociArchive } from "./oci.ts";
import { type TarEntry, tar } from "./tar.ts";

export interface Busybox {
  /** A static executable of `architecture`. */
  file: string;
  architecture: "amd64" | "arm64";
  /** Debian's copyright file of the package, which goes into the image. */
  copyright: string;
  /** Where each applet is linked, relative to the root: `bin/sh`. */
  applets: string[];
}

/** This machine's busybox, checked to be static. */
export function installedBusybox(): Busybox {
  const file = ["/bin/busybox", "/usr/bin/busybox"].find(existsSync);
  if (!file || !isStatic(file)) {
    throw new Error(
      `the starter image needs a static busybox, and ${file ? `${file} is not one` : "there is none"}: apt-get install busybox-static`,
    );
  }
  const list = Bun.spawnSync([file, "--list-full"]).stdout.toString();
  return {
    file,
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    copyright: "/usr/share/doc/busybox-static/copyright",
    applets: list.split("\n").filter((name) => name.includes("/")),
  };
}

/** elf(5): a program without a PT_INTERP header needs no libraries. */
function isStatic(file: string): boolean {
  const elf = readFileSync(file);
  if (elf.toString("latin1", 0, 4) !== "\x7fELF") return false;
  const start = Number(elf.readBigUInt64LE(32)); // e_phoff
  const size = elf.readUInt16LE(54); // e_phentsize
  return Array.from({ length: elf.readUInt16LE(56) }).every((_, i) => elf.readUInt32LE(start + i * size) !== 3);
}

/** The image as a tar of an OCI image layout: the same busybox gives the same bytes. */
export function starterImage(busybox: Busybox): Uint8Array {
  const modified = Math.floor(statSync(busybox.file).mtimeMs / 1000); // as packed by Debian
  return ociArchive({
    layer: tar(rootFileSystem(busybox), modified),
    architecture: busybox.architecture,
    modified,
    origin: "Debian busybox-static",
  });
}

/** Its files: busybox, its applets and what a shell expects to find. */
export function rootFileSystem(busybox: Busybox): TarEntry[] {
  const directories = ["bin", "dev", "etc", "home", "proc", "root", "run", "sbin", "sys", "tmp", "usr"].concat([
    "usr/bin",
    "usr/sbin",
    "usr/share",
    "usr/share/doc",
    "usr/share/doc/busybox",
    "var",
    "var/log",
    "var/tmp",
  ]);
  const modes: Record<string, number> = { root: 0o700, tmp: 0o1777, "var/tmp": 0o1777 };
  const file = (name: string, text: string): TarEntry => ({ name, mode: 0o644, content: Buffer.from(text) });
  return [
    ...directories.map((name) => ({ name: `${name}/`, mode: modes[name] ?? 0o755 })),
    { name: "bin/busybox", mode: 0o755, content: readFileSync(busybox.file) },
    ...busybox.applets
      .filter((name) => name !== "bin/busybox")
      .map((name) => ({ name, mode: 0o777, target: "/bin/busybox" })),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"),
    file("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    file("etc/os-release", 'ID=starter\nNAME="pod starter"\nPRETTY_NAME="pod starter (busybox)"\n'),
    file("usr/share/doc/busybox/copyright", copyrightOf(busybox)),
  ];
}

function copyrightOf(busybox: Busybox): string {
  if (existsSync(busybox.copyright)) return readFileSync(busybox.copyright, "utf8");
  return "BusyBox is free software under the GNU General Public License, version 2: https://busybox.net/license.html\n";
}
