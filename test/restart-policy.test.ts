import { expect, test } from "bun:test";
import { restartDelayMs } from "../src/restart-policy.ts";

const end = { exitCode: 1, restartCount: 0, livedMs: 50 };
const policy = (name: "no" | "on-failure" | "always" | "unless-stopped", maximumRetryCount = 0) => ({
  name,
  maximumRetryCount,
});

test("no never starts again, always and unless-stopped whatever the exit code", () => {
  expect(restartDelayMs(policy("no"), end)).toBeUndefined();
  expect(restartDelayMs(policy("always"), { ...end, exitCode: 0 })).toBe(100);
  expect(restartDelayMs(policy("unless-stopped"), end)).toBe(100);
});

test("on-failure starts again after a failure, as often as it may", () => {
  expect(restartDelayMs(policy("on-failure"), { ...end, exitCode: 0 })).toBeUndefined();
  expect(restartDelayMs(policy("on-failure"), { ...end, restartCount: 99 })).toBe(60_000);
  expect(restartDelayMs(policy("on-failure", 2), { ...end, restartCount: 1 })).toBe(200);
  expect(restartDelayMs(policy("on-failure", 2), { ...end, restartCount: 2 })).toBeUndefined();
});

test("the delay doubles up to a minute, and begins anew after ten seconds of life", () => {
  const delays = [0, 1, 2, 9, 10].map((restartCount) => restartDelayMs(policy("always"), { ...end, restartCount }));
  expect(delays).toEqual([100, 200, 400, 51_200, 60_000]);
  expect(restartDelayMs(policy("always"), { ...end, restartCount: 9, livedMs: 10_000 })).toBe(100);
});
