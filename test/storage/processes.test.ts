import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { file, tar } from "./archive.ts";
import { inNamespace, removeAll, sha256 } from "./layering.ts";

let home: string;
const children: Bun.Subprocess[] = [];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "pod-processes-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  removeAll(home);
});

function start(job: object) {
  const command = [...inNamespace, process.execPath, join(import.meta.dir, "worker.ts"), JSON.stringify(job)];
  const child = Bun.spawn(command, { env: { ...process.env, XDG_DATA_HOME: home }, stdout: "pipe", stderr: "inherit" });
  children.push(child);
  return child;
}

async function outputOf(job: object): Promise<string> {
  return (await start(job).stdout.text()).trim();
}

/** Waits until the child has said so. */
async function until(child: ReturnType<typeof start>, word: string): Promise<void> {
  const reader = child.stdout.getReader();
  for (let said = ""; !said.includes(word); ) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the child ended without saying ${word}: ${said}`);
    said += Buffer.from(value).toString();
  }
  reader.releaseLock(); // not cancelled: the child may say more
}

function archive(): { path: string; diffId: string } {
  const members = Array.from({ length: 40 }, (_, index) => file(`d${index}/f`, "x".repeat(20_000)));
  const bytes = tar(...members);
  const path = join(home, "layer.tar");
  writeFileSync(path, bytes);
  return { path, diffId: sha256(bytes) };
}

const inStore = (...names: string[]) => join(home, "pod", ...names);

test("a killed extraction leaves no layer, and the next one makes it whole", async () => {
  const layer = archive();
  const child = start({ kind: "extract", ...layer, pauseMs: 100 });
  await until(child, "chunk");
  await Bun.sleep(150);
  child.kill("SIGKILL");
  await child.exited;
  expect(readdirSync(inStore("layers"))).toEqual([]);
  expect(readdirSync(inStore("tmp"))).toHaveLength(1);
  expect(await outputOf({ kind: "extract", ...layer, pauseMs: 0 })).toContain("done");
  expect(readdirSync(inStore("layers"))).toEqual([layer.diffId.slice(7)]);
  const sweep = `import { openStore } from ${JSON.stringify(join(import.meta.dir, "../../src/storage/store.ts"))};
import { sweepTemporary } from ${JSON.stringify(join(import.meta.dir, "../../src/storage/files.ts"))};
openStore(); sweepTemporary();`;
  const script = join(home, "sweep.ts");
  writeFileSync(script, sweep);
  Bun.spawnSync([...inNamespace, process.execPath, script], { env: { ...process.env, XDG_DATA_HOME: home } });
  expect(readdirSync(inStore("tmp"))).toEqual([]);
});

test("two processes that extract one layer make it once; the second reads nothing", async () => {
  const layer = archive();
  const first = start({ kind: "extract", ...layer, pauseMs: 30 });
  await until(first, "chunk");
  expect(await outputOf({ kind: "extract", ...layer, pauseMs: 0 })).toBe(`done ${inStore()}`);
  expect(await first.exited).toBe(0);
  expect(readdirSync(inStore("layers"))).toHaveLength(1);
  expect(readdirSync(inStore("tmp"))).toEqual([]);
});

test("a full disk is a clear error and leaves nothing of the layer", async () => {
  const layer = archive();
  const tmpfs = inStore();
  mkdirSync(tmpfs, { mode: 0o700 });
  const output = await outputOf({ kind: "extract", ...layer, pauseMs: 0, tmpfs, sizeBytes: 400_000 });
  expect(output).toMatch(
    /error extract layer sha256:\w+: d\d+\/f: write .*: no space left on device \(ENOSPC\); free some space/,
  );
});

test("a download that was killed goes on where it was, in the next process", async () => {
  const text = "0123456789".repeat(100);
  const job = {
    kind: "download",
    text,
    descriptor: { mediaType: "", digest: sha256(Buffer.from(text)), size: text.length },
  };
  const killed = start({ ...job, bytes: 300, waits: true });
  await until(killed, "from 0");
  await Bun.sleep(50);
  killed.kill("SIGKILL");
  await killed.exited;
  expect(await outputOf({ ...job, bytes: 700 })).toContain("from 300");
  expect(readFileSync(inStore("blobs/sha256", job.descriptor.digest.slice(7)), "utf8")).toBe(text);
  expect(readdirSync(inStore("partial"))).toEqual([]);
});

test("a download waits for the process that downloads the same blob, and is told that it is there", async () => {
  const text = "blob";
  const job = {
    kind: "download",
    text,
    bytes: 4,
    descriptor: { mediaType: "", digest: sha256(Buffer.from(text)), size: 4 },
  };
  const outputs = await Promise.all([outputOf(job), outputOf(job), outputOf(job)]);
  expect(outputs.filter((output) => output.startsWith("from 0"))).toHaveLength(1);
  expect(outputs.filter((output) => output.startsWith("there"))).toHaveLength(2);
});

test("deletion stops at a mount", async () => {
  const target = inStore("containers/c1/upper/mnt");
  const output = await outputOf({ kind: "mounted", target, path: inStore("containers/c1") });
  expect(output).toContain("something is mounted on mnt; unmount it first");
  expect(existsSync(target)).toBe(true);
});
