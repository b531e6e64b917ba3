/** How the ids of a new user namespace get mapped: by newuidmap(1) and newgidmap(1), as real root directly, or one id only. */

import { config } from "../config.ts";
import { PodError, SyscallError } from "../errors.ts";
import { type IdMaps, readIdMaps, toMapArguments } from "./idmap.ts";
import { pipe, writeAll } from "./sys/descriptor.ts";
import { close, readDescriptor, readText, writeText } from "./sys/file.ts";
import { fork, takeDescriptors } from "./sys/fork.ts";
import { closeOnExecFrom, execve, processId, waitPid } from "./sys/process.ts";

const kinds = ["gid", "uid"] as const;
type Kind = (typeof kinds)[number];

/** The maps of a new namespace of this user's. */
export function idMaps(): IdMaps {
  const { uid, gid, isHostRoot } = config;
  const hasNewidmap = Bun.which("newuidmap") !== null && Bun.which("newgidmap") !== null;
  return readIdMaps(uid, gid, { isHostRoot, hasNewidmap });
}

/**
 * From outside, for a process that was born in a new namespace. What goes wrong is said on `answerFd`, which nobody has
 * open any more when all is done; `singleIdWord` on it says that the process is to map its one id itself.
 */
export function mapIdsOf(pid: number, answerFd: number): void {
  const maps = idMaps();
  if (maps.singleIdReason !== undefined) writeAll(answerFd, Buffer.from(singleIdWord));
  else if (config.isHostRoot) for (const kind of kinds) writeMap(kind, pid, maps);
  else {
    for (const kind of kinds) {
      const command = [programOf(kind), String(pid), ...toMapArguments(maps[kind])];
      Bun.spawn(command, { stdio: [null, answerFd, answerFd], env: {} }).unref();
    }
  }
}

const singleIdWord = "single";

/** In that process: waits until its ids are mapped. */
export function awaitMaps(answerFd: number): void {
  const text = readDescriptor(answerFd).toString().trim();
  close(answerFd);
  if (text === singleIdWord) return writeSingleIdMaps(idMaps());
  if (text || !readText("/proc/self/uid_map")) throw mappingFailure(text);
}

/**
 * For a process that will call unshare(2): children that are there before, since setuid programs get no privilege
 * inside. What to map they hear afterwards, since to find that out takes heap, and heap makes threads.
 */
export function startMappers(): { map(maps: IdMaps | undefined): void; wait(): void } {
  const answer = pipe();
  const target = processId();
  const start = (kind: Kind) => {
    const order = pipe();
    const pid = fork(() => {
      close(order.writeFd);
      takeDescriptors([order.readFd, answer.writeFd, answer.writeFd]);
      closeOnExecFrom(3);
      const map = readDescriptor(0).toString();
      return map ? runMapper(kind, target, map.split(" ")) : 1;
    });
    close(order.readFd);
    return { kind, pid, orderFd: order.writeFd };
  };
  const mappers = kinds.map(start);
  close(answer.writeFd);
  return {
    /** Undefined calls it off. */
    map(maps) {
      for (const { kind, orderFd } of mappers) {
        if (maps) writeAll(orderFd, Buffer.from(toMapArguments(maps[kind]).join(" ")));
        close(orderFd);
      }
      if (!maps) for (const { pid } of mappers) waitPid(pid, true); // when all is closed: the second has the first's end too
    },
    wait() {
      const lines = readDescriptor(answer.readFd).toString().trim().split("\n");
      const text = [...new Set(lines)].join("\n"); // each attempt says the same
      close(answer.readFd);
      const ends = mappers.map(({ pid }) => waitPid(pid, true)!);
      if (!ends.every(({ code, signal }) => code === 0 && signal === 0)) throw mappingFailure(text);
    },
  };
}

const attempts = 3;

/**
 * In a child of its own: returns the exit code, and says on stderr what failed. Once in some thousand times newuidmap was
 * seen to run without its privileges: EPERM, and the map is empty still. The likely reason: the kernel gives a setuid program
 * none while it takes the fs_struct of who executes it for shared (check_unsafe_exec() of fs/exec.c), as it is when another
 * thread just starts one. So a copy that has nothing else to do executes it, and it is tried again.
 */
function runMapper(kind: Kind, pid: number, map: string[]): number {
  const file = `/proc/${pid}/${kind}_map`;
  return orSay(() => {
    if (config.isHostRoot) {
      writeText(file, map.join(" "));
      return 0;
    }
    const program = programOf(kind);
    const args = [program, String(pid), ...map];
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const { code, signal } = waitPid(
        fork(() => orSay(() => execve(program, args, []))),
        true,
      )!;
      if (code === 0 && signal === 0) return 0;
      if (readText(file)) break;
    }
    return 1;
  });
}

function orSay(action: () => number): number {
  try {
    return action();
  } catch (error) {
    writeAll(2, Buffer.from((error as Error).message));
    return 1;
  }
}

function programOf(kind: Kind): string {
  return Bun.which(`new${kind}map`) ?? `/usr/bin/new${kind}map`;
}

function writeMap(kind: Kind, pid: number | "self", maps: IdMaps): void {
  writeText(`/proc/${pid}/${kind}_map`, toMapArguments(maps[kind]).join(" "));
}

/** In a new namespace of one's own. */
export function writeSingleIdMaps(maps: IdMaps): void {
  try {
    writeText("/proc/self/setgroups", "deny"); // or an unprivileged gid_map is EPERM: user_namespaces(7)
    for (const kind of kinds) writeMap(kind, "self", maps);
  } catch (error) {
    throw new PodError("map your id in the user namespace", { cause: error, hint: restrictionHint() });
  }
}

function mappingFailure(text: string): PodError {
  const maps = kinds.map(
    (kind) => `${kind}_map has "${readText(`/proc/self/${kind}_map`).trim().replace(/\s+/g, " ")}"`,
  );
  return new PodError(`map the ids of the user namespace: ${text || "the helper was ended"} (${maps.join(", ")})`, {
    hint: /not permitted/.test(text) ? restrictionHint() : "see /etc/subuid and /etc/subgid, subuid(5)",
  });
}

export function userNamespaceHint(error: unknown): string | undefined {
  if (!(error instanceof SyscallError)) return undefined;
  if (error.code === "ENOSPC") return "the limit of user namespaces is reached; see sysctl user.max_user_namespaces";
  return restrictionHint();
}

/** Says which rule of the host forbids user namespaces, and the one command that mends it. */
function restrictionHint(): string {
  const sysctl = (name: string) => {
    try {
      return readText(`/proc/sys/${name.replaceAll(".", "/")}`).trim();
    } catch {
      return undefined;
    }
  };
  if (sysctl("kernel.apparmor_restrict_unprivileged_userns") === "1") {
    return `AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns=1); allow them to pod alone: echo 'abi <abi/4.0>, include <tunables/global> profile pod ${process.execPath} flags=(unconfined) { userns, }' | sudo tee /etc/apparmor.d/pod && sudo apparmor_parser -r /etc/apparmor.d/pod`;
  }
  if (sysctl("kernel.unprivileged_userns_clone") === "0") {
    return "unprivileged user namespaces are off; run: sudo sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if (sysctl("user.max_user_namespaces") === "0") {
    return "user namespaces are off; run: sudo sysctl -w user.max_user_namespaces=15000";
  }
  return "unprivileged user namespaces are restricted here; see user_namespaces(7)";
}
