/** The store's folder: where everything lies, and how it comes to be. */

import { dirname, join } from "node:path";
import { config } from "../config.ts";
import { hasCode, PodError, SyscallError } from "../errors.ts";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "../ns/sys/fs.ts";
import { bootId } from "../ns/sys/process.ts";
import { processTag } from "./tags.ts";

const root = config.dataDir;

/** Absolute paths of the store's parts. `docs/architecture.md` describes the files in them. */
export const paths = {
  root,
  /** `<algorithm>/<hex>`: the blobs of an OCI image layout. */
  blobs: join(root, "blobs"),
  /** The image layout's list of manifests, with their names. */
  index: join(root, "index.json"),
  /** `<algorithm>-<hex>`: blobs that are being downloaded, or were when a process ended. */
  partials: join(root, "partial"),
  /** `<hex of the chainId>/`: extracted layers. */
  layers: join(root, "layers"),
  /** Short names of layers: as many as an image may have fit into mount(2)'s one page. */
  links: join(root, "l"),
  /** `<sha256 of the name>.json`: manifest lists. */
  lists: join(root, "lists"),
  containers: join(root, "containers"),
  /** `<name>/`: volumes. */
  volumes: join(root, "volumes"),
  /** `<name>.json`: secrets. */
  secrets: join(root, "secrets"),
  /** One line for each event, and `events.old` beside it. */
  events: join(root, "events"),
  /** `<container name>`: holds its id. */
  names: join(root, "names"),
  /** `<hex of an image's id>/`: where `image mount` mounts, in a mount namespace of the user's; seen from outside they are empty. */
  mounts: join(root, "mounts"),
  /** `<name>/`: what the user's networks are, and who is in them. */
  networks: join(root, "networks"),
  /** The boot in which all layers were last seen to be whole. */
  boot: join(root, "boot"),
  locks: join(root, "locks"),
  /** One flocked file for each process that uses blobs and layers which no record names yet. */
  leases: join(root, "locks/leases"),
  /** Given up on a full disk, so that something can be removed. */
  reserve: join(root, "reserve"),
  /** Empty: the user was told what `--userns` costs. */
  usernsNoted: join(root, "userns-noted"),
  /** What a process is making; swept once the process is gone. */
  temporary: join(root, "tmp"),
  /** `<id>`: processes that hold the user's namespace. */
  holders: join(root, "run"),
};

/** Only below a folder that holds this file does pod delete anything. */
export const markerName = ".pod-store";

const folders = "blobs/sha256 partial layers l containers names volumes secrets locks/leases tmp run".split(" ");

/**
 * Makes what is missing of the store. Throws a PodError where the folder belongs to somebody else or holds something
 * else; an own folder that others could read is closed (0700), since layers hold setuid files of the user's own id.
 */
export function openStore(): void {
  try {
    claimRoot();
    for (const folder of folders) {
      const path = join(root, folder);
      if (!existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o700 });
    }
    // An OCI image layout has both (image-layout.md).
    writeOnce(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    writeOnce(paths.index, '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}');
    writeReserve();
  } catch (error) {
    if (error instanceof PodError && !(error instanceof SyscallError)) throw error;
    const hint = hasCode(error, "EACCES", "EPERM", "EROFS", "ENOENT")
      ? "set XDG_DATA_HOME to a folder that you can write to"
      : undefined;
    throw new PodError(`open the store ${root}`, { cause: error, hint });
  }
}

/** Whether a command of this boot has seen all layers to be whole, or made them again: mend.ts. */
export function isLookedThrough(): boolean {
  return existsSync(paths.boot) && readFileSync(paths.boot, "utf8") === bootId();
}

/** Says so. Not synced: where a power cut empties the file, the boot is another one. */
export function recordLookedThrough(): void {
  writeFileSync(paths.boot, bootId(), { mode: 0o600 });
}

/** Entering the user's namespace comes before the store is opened: ns/userns.ts. */
const madeOnEntering = ["locks", "run", "single-id-noted"];

function claimRoot(): void {
  if (!existsSync(root)) {
    mkdirSync(dirname(root), { recursive: true, mode: 0o700 });
    unlessExists(() => mkdirSync(root, { mode: 0o700 }));
  }
  const status = lstatSync(root);
  if (!status.isDirectory()) throw new PodError(`open the store ${root}: it is not a directory`);
  if (status.uid !== process.geteuid!()) {
    throw new PodError(`open the store ${root}: it belongs to another user (uid ${status.uid})`, {
      hint: "set XDG_DATA_HOME to a folder of your own",
    });
  }
  if ((status.mode & 0o777) !== 0o700) chmodSync(root, 0o700);
  const marker = join(root, markerName);
  if (existsSync(marker)) return;
  const strangers = readdirSync(root).filter((name) => !madeOnEntering.includes(name));
  // Another first run may have written the marker since: look again before refusing.
  if (strangers.length > 0 && !existsSync(marker)) {
    throw new PodError(`open the store ${root}: it holds other things (${strangers.slice(0, 3).join(", ")})`, {
      hint: "set XDG_DATA_HOME to another folder, or move these files away",
    });
  }
  unlessExists(() =>
    writeFileSync(marker, "pod keeps its images and containers here, and deletes in here\n", { flag: "wx" }),
  );
}

const reserveBytes = 64 << 10; // a few folders and an index.json of some hundred names

function writeReserve(): void {
  try {
    if (!existsSync(paths.reserve)) writeFileSync(paths.reserve, Buffer.alloc(reserveBytes), { mode: 0o600 });
  } catch (error) {
    if (!hasCode(error, "ENOSPC", "EDQUOT")) throw error; // when there is space again
  }
}

/** Appears whole, and never replaces what a first run beside this one has written meanwhile. */
function writeOnce(path: string, text: string): void {
  if (existsSync(path)) return;
  const temporary = join(paths.temporary, processTag());
  writeFileSync(temporary, text, { mode: 0o600 });
  unlessExists(() => linkSync(temporary, path));
  unlinkSync(temporary);
}

function unlessExists(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
}
