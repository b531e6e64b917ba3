/**
 * What comes before the command line is read: a command that works on the store enters the user's namespace. It stands
 * apart from cli.ts since it must load little: the engine starts threads as its heap grows, and a process with threads
 * can't enter a user namespace.
 */

import { config } from "./config.ts";
import { writeAll } from "./ns/sys/descriptor.ts";

const groups = ["container", "image", "manifest", "network", "secret", "system", "volume"];
const running = withLongForms(["run", "start", "restart"]);
/** They pass signals on, and start nothing. */
const attaching = withLongForms(["attach", "exec"]);
/** They change the store, or tell what holds inside. */
const entering = [
  ...withLongForms(["create"]),
  "pull",
  "rm",
  "rmi",
  "rename",
  "container rename",
  "update",
  "container update",
  "stats",
  "container stats",
  "top",
  "container top",
  "cp",
  "container cp",
  "tag",
  "untag",
  "load",
  "diff",
  "export",
  "commit",
  "import",
  "unshare",
  "chown",
  "volume rm",
  "volume remove",
  "volume prune",
  "volume export",
  "volume import",
  "container rm",
  "container remove",
  "container diff",
  "container export",
  "container commit",
  "image pull",
  "image rm",
  "image remove",
  "image tag",
  "image untag",
  "image load",
  "image import",
  "container prune",
  "image prune",
  "network create",
  "network connect",
  "network disconnect",
  "network rm",
  "network remove",
  "network prune",
  "system prune",
  "system df",
  "system check",
  "system reset",
  "info",
  "system info",
];
/** They change at most files that are the user's own, and need no other ids: `push` too, so that credential helpers run as the user. */
const reading = [
  ...withLongForms(["attach", "exec", "stop", "kill", "wait", "pause", "unpause"]),
  "ps",
  "push",
  "images",
  "logs",
  "inspect",
  "port",
  "container port",
  "container exists",
  "events",
  "system events",
  "history",
  "save",
  "container ls",
  "container list",
  "container ps",
  "container logs",
  "container inspect",
  "image ls",
  "image list",
  "image inspect",
  "image history",
  "image save",
  "image exists",
  "image tree",
  "image mount",
  "image unmount",
  "image umount",
  "image push",
  "volume create",
  "volume ls",
  "volume list",
  "volume inspect",
  "volume exists",
  "secret create",
  "secret ls",
  "secret list",
  "secret inspect",
  "secret rm",
  "secret remove",
  "secret exists",
  "network ls",
  "network list",
  "network inspect",
  "network exists",
  "network reload",
  "manifest create",
  "manifest add",
  "manifest annotate",
  "manifest inspect",
  "manifest push",
  "manifest rm",
];

function withLongForms(names: string[]): string[] {
  return names.flatMap((name) => [name, `container ${name}`]);
}

/** For the command that `argv` begins with. Help is left for later: it is to work where no namespace can be entered. */
export async function prepareEarly(argv: string[]): Promise<void> {
  if (argv.includes("--help")) return;
  await prepareFor(argv.slice(0, groups.includes(argv[0] ?? "") ? 2 : 1).join(" "));
}

let prepared = false;

/** `name`: a command as typed, `ps` or `container ls`. Does nothing the second time. */
export async function prepareFor(name: string): Promise<void> {
  if (prepared) return;
  prepared = true;
  if (running.includes(name) || attaching.includes(name)) (await import("./signals.ts")).holdSignals();
  // Real root's store belongs to the namespace's root, so that it always enters. A run enters only when it has to pull
  // an image; that may need another start of the program, and this is it.
  const always = entering.includes(name) || (config.isHostRoot && usesStore(name));
  if (always || (running.includes(name) && config.singleThreadRetry)) await enter();
}

/**
 * For a command that will run a container, before it knows which one. By now the command line is loaded, which makes the
 * engine start its threads: in the monitor, a copy, it starts none of these again, and there they would be in the way.
 */
export async function prepareMonitorFor(name: string): Promise<void> {
  if (running.includes(name)) (await import("./waiting.ts")).startMonitorEarly();
}

async function enter(): Promise<void> {
  const { enterUserNamespace, takeSingleIdNote } = await import("./ns/userns.ts");
  enterUserNamespace();
  const note = takeSingleIdNote();
  if (note) writeAll(2, Buffer.from(`pod: ${note}\n`));
}

/** Whether it looks into layers, or collects what they could be made of again. */
export function usesLayers(name: string): boolean {
  return name !== "system reset" && [running, entering].some((names) => names.includes(name));
}

/** Whether the command uses the store at all. */
export function usesStore(name: string): boolean {
  return [running, entering, reading].some((names) => names.includes(name));
}
