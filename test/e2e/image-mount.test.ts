import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeLayout } from "../layout.ts";
import { file, tar } from "../storage/archive.ts";
import { binary, onAllDrivers } from "./harness.ts";

onAllDrivers("image mount", (host, driver) => {
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

  test("shows what all layers show together, without fuse-overlayfs where the driver needs none", async () => {
    const layers = [tar(file("a", "old"), file("gone", "")), tar(file("a", "new"), file(".wh.gone", ""))];
    const { configs } = writeLayout(join(host.work, "layout"), [{ layers, config: {} }]);
    await host.must("load", "-i", join(host.work, "layout"));
    const bin = join(host.work, "bin");
    mkdirSync(bin);
    const needed = ["sh", "newuidmap", "newgidmap", "cat", "ls", "touch"];
    for (const name of driver === "fuse-overlayfs" ? [...needed, driver] : needed) {
      symlinkSync(Bun.which(name)!, join(bin, name));
    }
    const id = configs[0]!.digest;
    const script = `
      dir=$(${binary} image mount ${id}); cat $dir/a; ls $dir; touch $dir/b 2>/dev/null || echo read-only
      ${binary} image unmount ${id}`;
    const { code, stdout } = await host.podWith({ env: { PATH: bin } }, "unshare", "sh", "-c", script);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `newa\nread-only\n${id}\n` });
  });

  test("is refused outside", async () => {
    expect(await host.pod("image", "mount", "app")).toMatchObject({
      code: 1,
      stderr: 'pod: cannot run command "pod image mount" in rootless mode, must execute `pod unshare` first\n',
    });
  });
});
