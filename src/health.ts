/** What a health check is, and what its results make of a container's health: Docker's rules (moby, daemon/health.go). */

import { UsageError } from "./errors.ts";
import type { ImageConfig } from "./spec.ts";
import { parseDuration, parseInteger, parseKeyValue } from "./values.ts";

/** As images have it: durations in nanoseconds; 0 or none is the usual value. */
export type Healthcheck = NonNullable<NonNullable<ImageConfig["config"]>["Healthcheck"]>;

/** What is done when a container has become unhealthy. */
export const healthActions = ["none", "kill", "restart", "stop"] as const;
export type HealthAction = (typeof healthActions)[number];

/** A check that is to be made. Milliseconds. */
export interface HealthPlan {
  command: string[];
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  startIntervalMs: number;
  retries: number;
}

export interface CheckResult {
  /** RFC 3339. */
  start: string;
  end: string;
  /** -1 where the check could not be made, or took too long. */
  exitCode: number;
  output: string;
}

export interface Health {
  status: "starting" | "healthy" | "unhealthy";
  failingStreak: number;
  /** The last five. */
  log: CheckResult[];
}

/** Of a check, in nanoseconds; 0 is the usual one. */
export function parsePeriod(text: string): number {
  const period = parseDuration(text);
  if (period === undefined) throw new UsageError(`time: invalid duration ${JSON.stringify(text)}`);
  if (period < 0) throw new UsageError("cannot be negative");
  if (period > 0 && period < 1e6) throw new UsageError("cannot be less than 1ms");
  return period;
}

/** 0 is the usual number. */
export function parseRetries(text: string): number {
  const retries = parseInteger(text);
  if (retries < 0) throw new UsageError("cannot be negative");
  return retries;
}

const flags: Record<string, (value: string) => Healthcheck> = {
  "--interval": (value) => ({ Interval: parsePeriod(value) }),
  "--timeout": (value) => ({ Timeout: parsePeriod(value) }),
  "--start-period": (value) => ({ StartPeriod: parsePeriod(value) }),
  "--start-interval": (value) => ({ StartInterval: parsePeriod(value) }),
  "--retries": (value) => ({ Retries: parseRetries(value) }),
};

/** What follows `HEALTHCHECK` in a Dockerfile: `NONE`, or flags and `CMD` with a list in JSON or words for a shell. */
export function parseHealthcheck(text: string, parseList: (text: string) => string[] | undefined): Healthcheck {
  const [, words = "", type = "", command = ""] = text.match(/^((?:--\S+\s+)*)(\S+)\s*([\s\S]*)$/) ?? [];
  if (type.toUpperCase() === "NONE") return { Test: ["NONE"] };
  if (type.toUpperCase() !== "CMD")
    throw new UsageError(`Unknown type ${JSON.stringify(type)} in HEALTHCHECK (try CMD)`);
  if (!command) throw new UsageError("Missing command after HEALTHCHECK CMD");
  const options = words
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const [name, value] = parseKeyValue(word);
      const flag = flags[name];
      if (!flag) throw new UsageError(`unknown flag: ${name.slice(2)}`);
      return flag(value);
    });
  const list = parseList(command);
  return Object.assign({ Test: list ? ["CMD", ...list] : ["CMD-SHELL", command] }, ...options);
}

/** What `run` has asked for, and where it has not, the image. Undefined where there is nothing to check. */
export function mergeHealthcheck(asked: Healthcheck, image: Healthcheck | undefined): Healthcheck | undefined {
  const set = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
  const merged = { ...image, ...set };
  if (!merged.Test?.length) {
    if (Object.keys(set).length) throw new UsageError("--health-* options need --health-cmd: the image has no check");
    return undefined;
  }
  return merged;
}

const secondNs = 1e9;

/** Undefined for Docker's `NONE`. */
export function toPlan(
  { Test, Interval, Timeout, StartPeriod, StartInterval, Retries }: Healthcheck,
  shell: string[],
): HealthPlan | undefined {
  const [kind, ...words] = Test ?? [];
  if (kind === undefined || kind === "NONE") return undefined;
  return {
    command: kind === "CMD-SHELL" ? [...shell, ...words] : words,
    intervalMs: (Interval || 30 * secondNs) / 1e6,
    timeoutMs: (Timeout || 30 * secondNs) / 1e6,
    startPeriodMs: (StartPeriod ?? 0) / 1e6,
    startIntervalMs: (StartInterval || 5 * secondNs) / 1e6,
    retries: Retries || 3,
  };
}

const logLength = 5;

/** A failure counts once the start period is over, or the container has been healthy. */
export function nextHealth(
  health: Health,
  result: CheckResult,
  { retries, startPeriodMs }: HealthPlan,
  livedMs: number,
): Health {
  const log = [...health.log, result].slice(-logLength);
  if (result.exitCode === 0) return { status: "healthy", failingStreak: 0, log };
  if (health.status === "starting" && livedMs < startPeriodMs) return { ...health, log };
  const failingStreak = health.failingStreak + 1;
  return { status: failingStreak >= retries ? "unhealthy" : health.status, failingStreak, log };
}
