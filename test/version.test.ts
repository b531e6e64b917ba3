import { expect, test } from "bun:test";
import { build } from "../src/version.ts";

test("the version is package.json's", async () => {
  const { version } = await Bun.file(`${import.meta.dir}/../package.json`).json();
  expect(build.version).toBe(version);
});
