/**
 * Containers that start with the machine: a unit of the user's systemd, which starts those whose restart policy asks for
 * it. Without it nothing of pod's runs at boot: there is no daemon.
 */

import { join } from "node:path";
import { config } from "./config.ts";
import { userNameOf } from "./ns/idmap.ts";
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "./ns/sys/fs.ts";
import { askToEnd, waitForEnd } from "./repair.ts";
import type { ContainerState } from "./storage/container-state.ts";
import { type Container, listContainers, passOver } from "./storage/containers.ts";

const unitName = "pod.service";
const unitsDir = config.isHostRoot ? "/etc/systemd/system" : join(config.xdgConfigHome, "systemd/user");
const unitFile = join(unitsDir, unitName);
/** As `systemctl enable` makes it. */
const wantsLink = join(unitsDir, `${config.isHostRoot ? "multi-user" : "default"}.target.wants`, unitName);

export interface Autostart {
  unitFile: string;
  /** Whether systemd is what runs the machine: sd_booted(3). */
  isSystemd: boolean;
  /** What is still to be done, where the user's systemd runs only from login to logout. */
  lingerCommand?: string;
}

/** Writes the unit, and enables it. `program`: this very one. */
export function enableAutostart(program: string): Autostart {
  mkdirSync(join(wantsLink, ".."), { recursive: true });
  writeFileSync(unitFile, unit(program));
  rmSync(wantsLink, { force: true });
  symlinkSync(unitFile, wantsLink);
  const user = userNameOf(config.uid) ?? String(config.uid);
  const lingers = config.isHostRoot || existsSync(`/var/lib/systemd/linger/${user}`); // loginctl(1)
  const isSystemd = existsSync("/run/systemd/system");
  return { unitFile, isSystemd, ...(!lingers && { lingerCommand: `sudo loginctl enable-linger ${user}` }) };
}

/** False where there was none. */
export function disableAutostart(): boolean {
  const wasThere = existsSync(unitFile);
  for (const file of [wantsLink, unitFile]) rmSync(file, { force: true });
  return wasThere;
}

/**
 * systemd.service(5): the containers stay in the unit's control group, where they have ones of their own. ExecStop comes
 * before the SIGTERM that would reach all of their processes, whatever signal they are to be stopped with. A user's systemd knows no network-online.target.
 */
function unit(program: string): string {
  const afterNetwork = "Wants=network-online.target\nAfter=network-online.target\n";
  return `# Written by pod system autostart
[Unit]
Description=pod: containers whose restart policy is always or unless-stopped
${config.isHostRoot ? afterNetwork : ""}
[Service]
Type=oneshot
RemainAfterExit=yes
Environment=${quote(`XDG_DATA_HOME=${config.dataDir.slice(0, -"/pod".length)}`)}
ExecStart=${quote(program)} start --at-boot
ExecStop=${quote(program)} stop --at-shutdown
Delegate=yes
TimeoutStopSec=30

[Install]
WantedBy=${config.isHostRoot ? "multi-user" : "default"}.target
`;
}

/** systemd.syntax(7): `%` begins a specifier. */
function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%")}"`;
}

/** The names of those that are to run and do not. As Docker at its start: also, with `always`, what a user has stopped. */
export function containersToStart(): string[] {
  return listContainers(undefined, passOver)
    .filter(isToRun)
    .map(({ record }) => record.name);
}

/** Ends those that run and will start with the machine again, each in its own time. Returns their names. */
export function stopForShutdown(): string[] {
  const runs = ({ status, restarting }: ContainerState) => status === "running" || restarting === true;
  const running = listContainers(runs, passOver);
  const ours = running.filter(({ record }) => ["always", "unless-stopped"].includes(record.restart.name));
  for (const { state } of ours) askToEnd(state.monitor!);
  for (const { record, state } of ours) waitForEnd(state.monitor!, stopPatienceMs + record.stopTimeoutSeconds * 1000);
  return ours.map(({ record }) => record.name);
}

const stopPatienceMs = 5000; // to clean up

function isToRun({ record, state }: Container): boolean {
  if (state.status === "running" || state.restarting || state.starting || !state.started) return false;
  return record.restart.name === "always" || (record.restart.name === "unless-stopped" && !state.stopped);
}
