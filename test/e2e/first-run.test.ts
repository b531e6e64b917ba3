import { expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { onBothDrivers } from "./harness.ts";

onBothDrivers("a new store", (host) => {
  test("may begin with a detached run: what comes later is in its user namespace, and can use its networks and files", async () => {
    for (let round = 0; round < 6; round++) {
      await host.must("run", "-d", "--name", "first", "--network", "none", "starter", "sleep", "600");
      const namespace = readlinkSync(`/proc/${host.processes().find(isMonitor)}/ns/user`);
      expect(await host.must("unshare", "readlink", "/proc/self/ns/user")).toBe(namespace);
      expect(await host.must("run", "--rm", "--network", "container:first", "starter", "echo", "here")).toBe("here");
      expect(await host.must("cp", "first:/bin/busybox", "copied")).toBe("");
      await host.must("rm", "-f", "first");
      await host.must("system", "reset", "-f");
    }
  });
});

function isMonitor(pid: number): boolean {
  const [name] = Bun.spawnSync(["ps", "-o", "args=", "-p", String(pid)])
    .stdout.toString()
    .split("\n");
  return name === "pod monitor";
}
