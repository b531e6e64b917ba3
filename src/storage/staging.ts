/** The members of an image archive, or of an image layout's folder, as files in a temporary folder of the store, hashed while they come in. */

import { closeSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { PodError } from "../errors.ts";
import { toText } from "../ns/sys/bytes.ts";
import { decompress, decompressByProgram } from "./decompress.ts";
import { makeTemporaryDir, removeTree, writeAt } from "./files.ts";
import { readFile } from "./reading.ts";
import { type TarEntry, type TarHandler, tarReader } from "./tar.ts";

export interface StagedFile {
  path: string;
  size: number;
  /** Of its bytes: sha512 where it is named so, else sha256. */
  digest: string;
}

const documentMaximumBytes = 16 << 20;
const linksMaximum = 8;

/** What an archive holds, by name. `close` removes it. */
export class StagedArchive {
  readonly #dir = makeTemporaryDir();
  readonly #files = new Map<string, StagedFile>();
  /** Symlinks and hard links: old archives name a layer twice so. */
  readonly #links = new Map<string, string>();
  #count = 0;

  /** Takes a whole archive: compressed or plain. A PodError says which member is wrong. */
  async readArchive(source: AsyncIterable<Uint8Array>): Promise<void> {
    const members = new Members(
      (name) => this.#create(name),
      (name, target) => this.#links.set(name, target),
    );
    const reader = tarReader(members);
    try {
      for await (const chunk of decompress(decompressByProgram(source))) reader.push(chunk);
      reader.finish();
    } finally {
      members.close();
    }
  }

  /** Takes the files of an image layout. */
  async readLayout(dir: string): Promise<void> {
    const below = (name: string) =>
      statSync(join(dir, name), { throwIfNoEntry: false })?.isDirectory() ? readdirSync(join(dir, name)) : [];
    const blobs = below("blobs").flatMap((algorithm) =>
      below(`blobs/${algorithm}`).map((hex) => `blobs/${algorithm}/${hex}`),
    );
    for (const name of ["index.json", "oci-layout", ...blobs]) {
      if (!statSync(join(dir, name), { throwIfNoEntry: false })?.isFile()) continue;
      const member = this.#create(name);
      try {
        for await (const chunk of readFile(join(dir, name))) member.write(chunk);
        member.finish();
      } finally {
        member.close();
      }
    }
  }

  find(name: string): StagedFile | undefined {
    let key = normalize(name);
    for (let links = 0; links < linksMaximum && this.#links.has(key); links++) key = this.#links.get(key)!;
    return this.#files.get(key);
  }

  /** A document that lies in the archive. PodError where it is too large to be one. */
  readDocument({ path, size, digest }: StagedFile): { bytes: Buffer; digest: string } {
    if (size > documentMaximumBytes) throw new PodError(`${digest} is too large for a document: ${size} bytes`);
    return { bytes: readFileSync(path), digest };
  }

  close(): void {
    removeTree(this.#dir);
  }

  #create(name: string): Member {
    const path = join(this.#dir, String(this.#count++)); // no name of the archive's is used on disk
    const algorithm = name.startsWith("blobs/sha512/") ? "sha512" : "sha256";
    const file: StagedFile = { path, size: 0, digest: "" };
    this.#files.set(name, file);
    return new Member(file, algorithm);
  }
}

class Member {
  readonly #fd: number;
  readonly #hasher: Bun.CryptoHasher;

  constructor(
    readonly file: StagedFile,
    readonly algorithm: "sha256" | "sha512",
  ) {
    this.#fd = openSync(file.path, "wx", 0o600);
    this.#hasher = new Bun.CryptoHasher(algorithm);
  }

  write(bytes: Uint8Array): void {
    writeAt(this.#fd, bytes, this.file.size);
    this.#hasher.update(bytes);
    this.file.size += bytes.length;
  }

  finish(): void {
    this.file.digest = `${this.algorithm}:${this.#hasher.digest("hex")}`;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Takes the members of a tar archive: files and links; others mean nothing in an image archive. */
class Members implements TarHandler {
  #current: Member | undefined;

  constructor(
    private readonly create: (name: string) => Member,
    private readonly link: (name: string, target: string) => void,
  ) {}

  entry(entry: TarEntry): void {
    const name = normalize(toText(entry.name));
    if (entry.kind === "file") this.#current = this.create(name);
    else if (entry.kind === "link") this.link(name, normalize(toText(entry.linkName)));
    else if (entry.kind === "symlink")
      this.link(name, normalize(posix.join(posix.dirname(name), toText(entry.linkName))));
  }

  data(bytes: Uint8Array, position: number): void {
    if (position !== this.#current!.file.size) throw new PodError("it is stored as a sparse file");
    this.#current!.write(bytes);
  }

  end(): void {
    this.#current!.finish();
    this.close();
  }

  close(): void {
    this.#current?.close();
    this.#current = undefined;
  }
}

/** `./a//b` and `/a/b` are `a/b`. */
function normalize(name: string): string {
  return posix.normalize(`/${name}`).slice(1);
}
