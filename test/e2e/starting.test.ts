/** Other commands beside one that starts a container: none of them loses sight of it. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Host, requires } from "./harness.ts";

setDefaultTimeout(60_000);

requires("/dev/net/tun").describe("a container that is just being started", () => {
  const host = new Host();
  beforeAll(async () => {
    host.open();
    await host.must("run", "--rm", "starter", "true"); // makes the network
  });
  afterAll(() => host.close());

  /** What `action` finds while a start goes no further, since somebody else has the network's lock: until it lets it. */
  const whileStarting = async (action: (release: () => void) => Promise<void>) => {
    const lock = join(host.dataDir, "locks/network-bridge");
    const holder = Bun.spawn(["flock", "--no-fork", lock, "sh", "-c", "echo; exec sleep 1000"], { stdout: "pipe" });
    await holder.stdout.getReader().read();
    const command = host.spawn("run", "-d", "--name", "early", "starter", "sleep", "1000");
    try {
      for (let i = 0; i < 500 && !(await host.must("ps", "-aq")); i++) await Bun.sleep(5);
      await action(() => holder.kill("SIGKILL"));
    } finally {
      holder.kill("SIGKILL");
    }
    const [stderr, code] = await Promise.all([command.stderr.text(), command.exited]);
    return { stderr, code };
  };
  const nothingIsLeft = async () => {
    expect(await host.must("ps", "-aq")).toBe("");
    expect(await host.leftoversWithoutImages()).toEqual([]);
  };

  test("rm refuses it, and prune passes it over", async () => {
    const { code } = await whileStarting(async () => {
      const removal = await host.pod("rm", "early");
      expect({ code: removal.code, stderr: removal.stderr }).toEqual({
        code: 1,
        stderr: expect.stringContaining('cannot remove container "/early": container is running'),
      });
      expect(await host.must("container", "prune", "-f")).not.toContain("Deleted");
    });
    expect(code).toBe(0);
    expect(await host.must("ps", "--format", "{{.Names}} {{.State}}")).toBe("early running");
    await host.must("rm", "-f", "early");
    await nothingIsLeft();
  });

  test.each([[["rm", "-f", "early"]], [["system", "reset", "-f"]]])("%j ends it", async (words) => {
    await whileStarting(async (release) => {
      setTimeout(release, 300);
      await host.must(...words);
    });
    await host.must("rm", "-f", "nobody"); // the next command takes away what was left
    await nothingIsLeft();
  });

  test("sixteen that take one name's place leave one, and no error but that another was quicker", async () => {
    const runs = Array.from({ length: 16 }, () =>
      host.pod("run", "-d", "--replace", "--name", "one", "--network", "none", "starter", "sleep", "1000"),
    );
    for (const { code, stderr } of await Promise.all(runs)) {
      if (code !== 0) expect(stderr).toMatch(/already in use|No such container|monitor has ended/);
    }
    expect((await host.must("ps", "-q")).split("\n").length).toBe(1);
    await host.must("rm", "-f", "one");
    await nothingIsLeft();
  });
});
