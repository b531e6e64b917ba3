/** The monitor's part in health checks: when they are made, and what comes of them. There is no timer outside. */

import { formatError } from "./errors.ts";
import { type CheckResult, type Health, type HealthPlan, nextHealth, toPlan } from "./health.ts";
import { startCheck } from "./health-check.ts";
import type { ExecRequest } from "./ns/exec.ts";
import { close, readDescriptor } from "./ns/sys/file.ts";
import { childrenOf } from "./ns/sys/fork.ts";
import { unlessErrno } from "./ns/sys/namespace.ts";
import { kill, waitPid } from "./ns/sys/process.ts";
import type { ContainerRecord } from "./storage/containers.ts";
import { execEvents } from "./storage/events.ts";

const SIGKILL = 9;
const startPatienceMs = 2000;

/** What a check has in common with the container's own process. */
type Surroundings = Pick<ExecRequest, "process" | "user" | "namespaces" | "cgroup">;

/** Undefined where the check is Docker's `NONE`. `request` is the container's own process. `onResult` is called after each check. */
export function watchHealth(
  record: ContainerRecord,
  request: Surroundings,
  onResult: (before: Health["status"]) => void,
): HealthMonitor | undefined {
  const { check, shell } = record.health!;
  const plan = toPlan(check, shell);
  if (!plan) return undefined;
  const process = { ...request.process, args: plan.command, terminal: false };
  const toRequest = () => ({ ...request, process, ...execEvents(record, plan.command) });
  return new HealthMonitor(plan, toRequest, onResult);
}

export class HealthMonitor {
  health: Health = { status: "starting", failingStreak: 0, log: [] };
  readonly #plan: HealthPlan;
  readonly #toRequest: () => Omit<ExecRequest, "fds">;
  readonly #onResult: (before: Health["status"]) => void;
  readonly #beganMs = performance.now();
  #nextMs: number;
  #running: { pid: number; fd: number } | undefined;
  /** When a check that has not ended itself by its timeout is ended. */
  #overdueMs = 0;

  constructor(
    plan: HealthPlan,
    toRequest: () => Omit<ExecRequest, "fds">,
    onResult: (before: Health["status"]) => void,
  ) {
    this.#plan = plan;
    this.#toRequest = toRequest;
    this.#onResult = onResult;
    this.#nextMs = this.#beganMs + this.#pauseMs();
  }

  /** Milliseconds until tick() has something to do. */
  get waitMs(): number {
    return Math.max(0, (this.#running ? this.#overdueMs : this.#nextMs) - performance.now());
  }

  /** Starts a check where it is time for one. While the container is paused there is none. */
  tick(isPaused: boolean): void {
    if (this.#running && performance.now() >= this.#overdueMs) return this.#endOverdue();
    if (this.#running || performance.now() < this.#nextMs) return;
    if (isPaused) this.#nextMs = performance.now() + this.#pauseMs();
    else this.#start();
  }

  /** A check that can't be made has failed, and no more than that: there may be too many processes just now. */
  #start(): void {
    try {
      this.#running = startCheck(this.#toRequest(), this.#plan);
      this.#overdueMs = performance.now() + this.#plan.timeoutMs + startPatienceMs;
    } catch (error) {
      this.#take(failedCheck(formatError(error)));
    }
  }

  get watched(): { fd: number; action: () => void }[] {
    return this.#running ? [{ fd: this.#running.fd, action: () => this.#finish() }] : [];
  }

  /** The container's processes may stop one that is just being started. */
  #endOverdue(): void {
    this.stop();
    this.#take(failedCheck(`Health check exceeded timeout (${this.#plan.timeoutMs / 1000}s)`));
  }

  /** Ends the check that is being made. */
  stop(): void {
    const running = this.#running;
    if (!running) return;
    endFamily(running.pid);
    this.#forget();
  }

  #finish(): void {
    const text = readDescriptor(this.#running!.fd).toString();
    this.#forget();
    this.#take(text ? (JSON.parse(text) as CheckResult) : failedCheck("the check was ended"));
  }

  #take(result: CheckResult): void {
    const before = this.health.status;
    this.health = nextHealth(this.health, result, this.#plan, performance.now() - this.#beganMs);
    this.#nextMs = performance.now() + this.#pauseMs();
    this.#onResult(before);
  }

  #forget(): void {
    close(this.#running!.fd);
    waitPid(this.#running!.pid, true);
    this.#running = undefined;
  }

  #pauseMs(): number {
    const { startPeriodMs, startIntervalMs, intervalMs } = this.#plan;
    const isStarting = this.health.status === "starting" && performance.now() - this.#beganMs < startPeriodMs;
    return isStarting ? startIntervalMs : intervalMs;
  }
}

/** It, the process that has joined the container, and the program there. */
function endFamily(pid: number): void {
  for (const child of childrenOf(pid)) endFamily(child);
  unlessErrno(["ESRCH"], () => kill(pid, SIGKILL));
}

function failedCheck(output: string): CheckResult {
  const now = new Date().toISOString();
  return { start: now, end: now, exitCode: -1, output };
}
