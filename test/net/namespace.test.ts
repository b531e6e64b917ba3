/** The kernel's side of networks, in namespaces of the test's own. */

import { expect, test } from "bun:test";
import { join } from "node:path";

test("two members of a bridge reach each other, neither can pose as somebody else, and of who has gone no guard stays", () => {
  const child = join(import.meta.dir, "namespace-child.ts");
  const command = ["unshare", "--user", "--map-root-user", "--net", process.execPath, child];
  const { stdout, stderr } = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe" });
  expect(stderr.toString()).toBe("");
  expect(JSON.parse(stdout.toString())).toEqual({
    again: "netlink make the bridge pod0: file exists (EEXIST)",
    chains: 2,
    rules: 6,
    areUp: [true, true],
    links: ["lo", "pod0", "v4", "v5"],
    routes: expect.arrayContaining(["10.88.0.0/24"]),
    reached: true,
    posedAsAddress: false,
    posedAsHardware: false,
  });
});
