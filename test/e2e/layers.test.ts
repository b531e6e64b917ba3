/** Layers of one image that two processes extract: each is what it is when one process does it, and nothing stays of either. */

import { beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { writeLayout } from "../layout.ts";
import { startRegistry } from "../registry.ts";
import { file, folder, hardLink, type Member, tar } from "../storage/archive.ts";
import { shell } from "./crafted.ts";
import { onBothDrivers, quietRun } from "./harness.ts";

/** Larger than what this process would do by itself. */
const big = (index: number): Member => ({ ...file(`big${index}`), content: randomBytes(8 << 20) });
/** A layer of the second process needs those below it: a folder's attributes, what a link leads to, what is to be hidden. */
const layers = [
  [
    folder(".", { mode: 0o711 }),
    ...shell(),
    folder("a", { mode: 0o750, uid: 5, gid: 6 }),
    file("a/f", "f"),
    file("gone"),
  ],
  [file("a/b", "b"), file(".wh.gone"), hardLink("a/link", "a/f")],
  [file("a/c", "c"), file("a/.wh.b")],
  [file("d", "d")],
].map((members, index) => tar(...members, big(index)));

onBothDrivers("layers that two processes extract", (host) => {
  const at = (name: string) => join(host.work, name);
  beforeAll(() => {
    writeLayout(at("layout"), [{ layers, config: { Cmd: ["sh"] } }]);
    const damaged = layers.map((layer, index) => Buffer.from(layer).fill(1, 0, index === 2 ? 512 : 0));
    writeLayout(at("damaged"), [{ layers: damaged }]);
  });

  /** The second process of a command, as soon as it is there. */
  const helperOf = async (pid: number) => {
    for (let i = 0; i < 1000; i++, await Bun.sleep(2)) {
      const { stdout } = Bun.spawnSync(["ps", "--ppid", String(pid), "-o", "pid=,comm="]);
      const [, helper] = /(\d+) pod layers$/m.exec(stdout.toString()) ?? [];
      if (helper !== undefined) return Number(helper);
    }
    throw new Error("no second process came");
  };
  const isAsMeant = async (name: string) => {
    const look = "/bin/busybox stat -c '%a %u:%g' / /a; /bin/busybox stat -c %h /a/link; ls /a /; cat /a/link /d";
    const seen = await host.must(...quietRun, name, "sh", "-c", `${look}; /bin/busybox sha256sum /big*`);
    expect(seen).toStartWith("711 0:0");
    expect(seen).toContain("\n750 5:6\n2\n/:\n");
    expect(seen).toContain("\n/a:\nc\nf\nlink\n");
    expect(seen).not.toContain("gone");
    for (const layer of layers) {
      const content = layer.subarray(-(1024 + (8 << 20)), -1024);
      expect(seen).toContain(new Bun.CryptoHasher("sha256").update(content).digest("hex"));
    }
    await host.must("rmi", name);
    expect(await host.leftoversWithoutImages()).toEqual([]);
  };
  const idIn = (stdout: string) => /Loaded image ID: (\S+)/.exec(stdout)![1]!;

  test("loaded, they are as one process makes them", async () => {
    await isAsMeant(idIn(await host.must("load", "-i", at("layout"))));
  });

  test("pulled, they are so too", async () => {
    const registry = await startRegistry();
    try {
      await registry.push(at("layout"), "big:latest");
      await host.must("pull", "-q", `${registry.host}/big`);
      await isAsMeant(`${registry.host}/big`);
    } finally {
      await registry.stop();
    }
  });

  test.skipIf(availableParallelism() === 1)("when the second process is killed, the first does its work", async () => {
    const loading = host.spawn("load", "-i", at("layout"));
    process.kill(await helperOf(loading.pid), "SIGKILL");
    expect(await loading.exited).toBe(0);
    await isAsMeant(idIn(await loading.stdout.text()));
  });

  test.skipIf(availableParallelism() === 1)("when the first is killed, the second ends", async () => {
    const loading = host.spawn("load", "-i", at("layout"));
    await helperOf(loading.pid);
    loading.kill("SIGKILL");
    await loading.exited;
    await host.must("rm", "-f", "nobody"); // the next command takes away what was left
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });

  test("a damaged one is refused by name, and nothing stays", async () => {
    const { code, stderr } = await host.pod("load", "-i", at("damaged"));
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/load .*: extract layer sha256:.*checksum/),
    });
    expect(await host.leftoversWithoutImages()).toEqual([]);
  });
});
