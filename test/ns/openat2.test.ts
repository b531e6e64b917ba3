import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT } from "../../src/ns/constants.ts";
import { resolveBytes } from "../../src/ns/sys/bytes.ts";
import { close, open, openAt2 } from "../../src/ns/sys/file.ts";

test("a path with `..` is found also while others rename: openat2(2) says EAGAIN then", async () => {
  const dir = mkdtempSync(join(tmpdir(), "r"));
  mkdirSync(join(dir, "a/b"), { recursive: true });
  writeFileSync(join(dir, "x"), "");
  const script = `const fs = require("fs"); fs.writeFileSync("${dir}/y", ""); for (;;) { fs.renameSync("${dir}/y", "${dir}/z"); fs.renameSync("${dir}/z", "${dir}/y"); }`;
  const renaming = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "ignore", "ignore"] });
  const root = open(dir, O_PATH | O_DIRECTORY);
  try {
    await Bun.sleep(200);
    const path = `${"a/b/../../".repeat(30)}x`;
    for (let round = 0; round < 5000; round++) {
      close(openAt2(root, path, O_PATH, RESOLVE_IN_ROOT));
      close(resolveBytes(root, path, O_PATH, RESOLVE_IN_ROOT)!);
    }
    expect(renaming.exitCode).toBeNull();
  } finally {
    renaming.kill();
    await renaming.exited;
    close(root);
    rmSync(dir, { recursive: true });
  }
}, 60_000);
