import { expect, test } from "bun:test";
import { type Health, type HealthPlan, mergeHealthcheck, nextHealth, toPlan } from "../src/health.ts";

const plan: HealthPlan = {
  command: ["true"],
  intervalMs: 1000,
  timeoutMs: 1000,
  startPeriodMs: 5000,
  startIntervalMs: 100,
  retries: 3,
};
const result = (exitCode: number) => ({ start: "s", end: "e", exitCode, output: "" });
const after = (livedMs: number, ...codes: number[]): Health =>
  codes.reduce<Health>((health, code) => nextHealth(health, result(code), plan, livedMs), {
    status: "starting",
    failingStreak: 0,
    log: [],
  });

test("a success makes healthy, so many failures unhealthy, and one success healthy again", () => {
  expect(after(6000, 0)).toMatchObject({ status: "healthy", failingStreak: 0 });
  expect(after(6000, 1, 1)).toMatchObject({ status: "starting", failingStreak: 2 });
  expect(after(6000, 1, -1, 1)).toMatchObject({ status: "unhealthy", failingStreak: 3 });
  expect(after(6000, 0, 1, 1)).toMatchObject({ status: "healthy", failingStreak: 2 });
  expect(after(6000, 1, 1, 1, 1, 0)).toMatchObject({ status: "healthy", failingStreak: 0 });
});

test("in the start period failures do not count, until the first success", () => {
  expect(after(4000, 1, 1, 1, 1)).toMatchObject({ status: "starting", failingStreak: 0 });
  expect(after(4000, 0, 1, 1, 1)).toMatchObject({ status: "unhealthy", failingStreak: 3 });
});

test("the last five results are kept", () => {
  expect(after(6000, 1, 2, 3, 4, 5, 6).log.map(({ exitCode }) => exitCode)).toEqual([2, 3, 4, 5, 6]);
});

test("what is asked for stands before the image's check; without a command there is none to change", () => {
  const image = { Test: ["CMD", "check"], Interval: 1e9, Retries: 5 };
  expect(mergeHealthcheck({ Test: undefined, Interval: 2e9 }, image)).toEqual({ ...image, Interval: 2e9 });
  expect(mergeHealthcheck({ Test: undefined }, undefined)).toBeUndefined();
  expect(() => mergeHealthcheck({ Interval: 2e9 }, undefined)).toThrow("--health-* options need --health-cmd");
});

test("durations are nanoseconds, 0 is the usual one; CMD-SHELL goes to the shell, NONE is no check", () => {
  expect(toPlan({ Test: ["CMD-SHELL", "a | b"], Interval: 0, Timeout: 5e8 }, ["/bin/sh", "-c"])).toEqual({
    command: ["/bin/sh", "-c", "a | b"],
    intervalMs: 30_000,
    timeoutMs: 500,
    startPeriodMs: 0,
    startIntervalMs: 5000,
    retries: 3,
  });
  expect(toPlan({ Test: ["CMD", "a", "b"] }, ["sh"])?.command).toEqual(["a", "b"]);
  expect(toPlan({ Test: ["NONE"] }, ["sh"])).toBeUndefined();
});
