import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { file, tar } from "./archive.ts";
import { layer } from "./layering.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "pod-formats-"));
  const deep = join(dir, "in", "d".repeat(150), "e".repeat(120));
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "ü.txt"), "deep");
  utimesSync(join(deep, "ü.txt"), 1_234_567_890.25, 1_234_567_890.25);
  run(["ln", "-s", `${"t".repeat(160)}/x`, join(dir, "in/link")]);
  run(["ln", join(deep, "ü.txt"), join(dir, "in/hard")]);
});
afterAll(() => rmSync(dir, { recursive: true }));

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command[0]}: ${stderr}`);
}

async function made(command: (path: string) => string[]): Promise<Buffer> {
  const path = join(dir, `${crypto.randomUUID()}.tar`);
  run(command(path));
  return Buffer.from(await Bun.file(path).bytes());
}

for (const format of ["gnu", "posix", "oldgnu"]) {
  test(`GNU tar's format ${format}: long names and links, hard links, times`, async () => {
    const { layers, error } = await layer(
      await made((path) => ["tar", "-C", join(dir, "in"), `--format=${format}`, "-cf", path, "."]),
    );
    expect(error).toBeUndefined();
    const long = `${"d".repeat(150)}/${"e".repeat(120)}/ü.txt`;
    expect(layers[0]![long]).toMatchObject({
      content: "deep",
      links: 2,
      mtime: format === "posix" ? "1234567890250000000" : "1234567890000000000",
    });
    expect(layers[0]!.link!.target).toBe(`${"t".repeat(160)}/x`);
  });
}

for (const [name, options] of [
  ["old GNU", ["--format=gnu"]],
  ["PAX 0.0", ["--format=posix", "--sparse-version=0.0"]],
  ["PAX 0.1", ["--format=posix", "--sparse-version=0.1"]],
  ["PAX 1.0", ["--format=posix", "--sparse-version=1.0"]],
] as const) {
  test(`sparse files as ${name} keep their content and their holes`, async () => {
    const folder = join(dir, `sparse ${name}`);
    mkdirSync(folder);
    const size = 64 << 20;
    // 60 pieces: more than fit into one header; and a hole at the end.
    const script = `import sys
f = open(sys.argv[1], 'wb')
for i in range(60):
    f.seek(i << 20); f.write(b'%04d' % i * 1024)
f.truncate(${size})`;
    run(["python3", "-c", script, join(folder, "disk")]);
    const { layers, error } = await layer(
      await made((path) => ["tar", "-C", folder, "--sparse", ...options, "-cf", path, "disk"]),
    );
    expect(error).toBeUndefined();
    const found = layers[0]!.disk!;
    expect(found).toMatchObject({ size, content: "0000".repeat(50) });
    expect(found.digest).toBe(
      new Bun.CryptoHasher("sha256").update(await Bun.file(join(folder, "disk")).bytes()).digest("hex"),
    );
    expect(found.blocks! * 512).toBeLessThan(1 << 20);
  });
}

test("Python's archives: PAX attributes, unicode, large numbers", async () => {
  const script = `import sys, tarfile, io
t = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)
i = tarfile.TarInfo('ünï/' + 'x' * 150); i.size = 3; i.mtime = 1700000000.5; i.uid = 2500000; i.pax_headers = {'SCHILY.xattr.user.k': 'v'}
t.addfile(i, io.BytesIO(b'abc'))
t.close()
t = tarfile.open(sys.argv[2], 'w', format=tarfile.GNU_FORMAT)
i = tarfile.TarInfo('big'); i.uid = 2500000; i.size = 1; i.mtime = -5
t.addfile(i, io.BytesIO(b'y'))
t.close()`;
  const second = join(dir, "gnu.tar");
  const first = await made((path) => ["python3", "-c", script, path, second]);
  const { layers, error } = await layer(first, Buffer.from(await Bun.file(second).bytes()));
  expect(error).toBeUndefined();
  const owner = Buffer.from("2500000:0:644").toString("hex");
  expect(layers[0]![`ünï/${"x".repeat(150)}`]).toMatchObject({
    content: "abc",
    mtime: "1700000000500000000",
    xattrs: { "user.k": "76", "user.pod.owner": owner },
  });
  expect(layers[1]!.big).toMatchObject({ mtime: "-5000000000", xattrs: { "user.pod.owner": owner } });
});

test("gzip in several members, zstd in several frames, and plain archives are told by their first bytes", async () => {
  const plain = tar(file("a", "x".repeat(3000)), file("b", "last"));
  const halves = [plain.subarray(0, 1777), plain.subarray(1777)];
  for (const bytes of [
    plain,
    Buffer.concat(halves.map((half) => Bun.gzipSync(Buffer.from(half)))),
    Buffer.concat(halves.map((half) => Bun.zstdCompressSync(half))),
  ]) {
    const { layers, error } = await layer({ bytes, plain });
    expect(error).toBeUndefined();
    expect(layers[0]!.b!.content).toBe("last");
  }
});

test("a global header holds for all files, their own headers outrank it", async () => {
  const { paxRecords, toBlocks } = await import("./archive.ts");
  const global = toBlocks({ name: "g", type: "g", content: paxRecords({ mtime: "1500000000", comment: "x" }) });
  const { layers } = await layer(Buffer.concat([global, tar(file("a"), file("b", "", { pax: { mtime: "7" } }))]));
  expect([layers[0]!.a!.mtime, layers[0]!.b!.mtime]).toEqual(["1500000000000000000", "7000000000"]);
});
