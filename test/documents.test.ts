import { expect, test } from "bun:test";
import { parseConfig } from "../src/documents.ts";

const parse = (fields: object) =>
  parseConfig(
    { digest: "sha256:x", bytes: Buffer.from(JSON.stringify({ rootfs: { type: "layers", diff_ids: [] }, ...fields })) },
    0,
  );

test.each([
  { config: [] },
  { config: { Env: [5] } },
  { config: { Entrypoint: { a: "b" } } },
  { config: { Labels: ["a"] } },
  { config: { Labels: { a: 1 } } },
  { config: { User: 0 } },
  { config: { Healthcheck: ["CMD"] } },
  { config: { Healthcheck: { Test: "true" } } },
  { config: { Healthcheck: { Test: ["CMD", "true"], Interval: "30s" } } },
  { config: { Healthcheck: { Test: ["CMD", "true"], Retries: -1 } } },
  { history: "long" },
  { history: [null] },
  { history: [{ created_by: ["sh"] }] },
])("a configuration of other types than the image spec's is refused: %j", (fields) => {
  expect(() => parse(fields)).toThrow("image configuration sha256:x is not in the form of the OCI image spec");
});

test("what may be missing may be null", () => {
  const config = { Env: null, Entrypoint: null, Labels: null, User: "" };
  expect(parse({ config, history: null, created: "no time" }) as object).toMatchObject({ config });
});
