import { expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { file, tar } from "../storage/archive.ts";
import { binary, onBothDrivers } from "./harness.ts";

onBothDrivers("image mount", (host) => {
  test("shows an image's files inside pod unshare, read-only, until it is taken off", async () => {
    writeFileSync(join(host.work, "a.tar"), tar(file("a", "content")));
    const id = await host.must("import", join(host.work, "a.tar"), "app");
    const path = join(host.dataDir, "mounts", id.slice(7));
    const script = `
      dir=$(${binary} image mount app); cat $dir/a; echo; touch $dir/b 2>/dev/null || echo read-only
      ${binary} image mount; ${binary} image unmount app; ${binary} image mount; ls ${path} 2>/dev/null || echo gone
      ${binary} image unmount app`;
    const { code, stdout, stderr } = await host.pod("unshare", "sh", "-c", script);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: `content\nread-only\n${id.slice(7, 19)} ${path}\n${id}\ngone\n`,
      stderr: "pod: image app is not mounted\n",
    });
    expect(readdirSync(join(host.dataDir, "mounts"))).toEqual([]);
  });

  test("is refused outside", async () => {
    expect(await host.pod("image", "mount", "app")).toMatchObject({
      code: 1,
      stderr: 'pod: cannot run command "pod image mount" in rootless mode, must execute `pod unshare` first\n',
    });
  });
});
