/** The commands: the names of each, and where it lies. prepare.ts says what comes before. */

import type { CommandDef } from "citty";
import type { OptionDefs } from "./args.ts";

export interface Verb {
  /** What the user may type, the usual form first: `ps`, `container ls`. */
  names: string[];
  load: () => Promise<{ default: CommandDef }>;
  /**
   * The options, where they end at the first operand: a later `--help` belongs to the container's command. What this loads
   * starts no threads, for help is to work where no namespace can be entered.
   */
  options?: () => Promise<OptionDefs>;
  /** Listed first in `pod --help`. */
  common: boolean;
}

export const groups: Record<string, string> = {
  container: "Manage containers",
  image: "Manage images",
  manifest: "Manage manifest lists: one name for several platforms",
  network: "Manage networks",
  secret: "Manage secrets: files that only containers see",
  system: "Manage pod",
  volume: "Manage volumes",
};

export const verbs: Verb[] = [
  verb("run, container run", () => import("./commands/run.ts"), {
    common: true,
    options: async () => (await import("./commands/create-options.ts")).runArgs,
  }),
  verb("create, container create", () => import("./commands/create.ts"), {
    options: async () => (await import("./commands/create-options.ts")).createCommandArgs,
  }),
  verb("exec, container exec", () => import("./commands/exec.ts"), {
    common: true,
    options: async () => (await import("./commands/exec-options.ts")).execArgs,
  }),
  verb("start, container start", () => import("./commands/start.ts"), { common: true }),
  verb("stop, container stop", () => import("./commands/stop.ts"), { common: true }),
  verb("restart, container restart", async () => ({ default: (await import("./commands/stop.ts")).restart })),
  verb("kill, container kill", () => import("./commands/kill.ts")),
  verb("wait, container wait", () => import("./commands/wait.ts")),
  verb("pause, container pause", () => import("./commands/pause.ts")),
  verb("unpause, container unpause", async () => ({ default: (await import("./commands/pause.ts")).unpause })),
  verb("attach, container attach", () => import("./commands/attach.ts")),
  verb("ps, container ls, container list, container ps", () => import("./commands/ps.ts"), { common: true }),
  verb("pull, image pull", () => import("./commands/pull.ts"), { common: true }),
  verb("push, image push", () => import("./commands/push.ts"), { common: true }),
  verb("images, image ls, image list", () => import("./commands/images.ts"), { common: true }),
  verb("logs, container logs", () => import("./commands/logs.ts"), { common: true }),
  verb("info, system info", () => import("./commands/info.ts"), { common: true }),
  verb("version", () => import("./commands/version.ts"), { common: true }),
  verb("login", () => import("./commands/login.ts")),
  verb("logout", () => import("./commands/logout.ts")),
  verb("search", () => import("./commands/search.ts")),
  verb("inspect", () => import("./commands/inspect.ts")),
  verb("container inspect", async () => ({ default: (await import("./commands/inspect.ts")).containerInspect })),
  verb("image inspect", async () => ({ default: (await import("./commands/inspect.ts")).imageInspect })),
  verb("events, system events", () => import("./commands/events.ts")),
  verb("container exists", async () => ({ default: (await import("./commands/exists.ts")).containerExists })),
  verb("port, container port", () => import("./commands/port.ts")),
  verb("update, container update", () => import("./commands/update.ts")),
  verb("rename, container rename", async () => ({ default: (await import("./commands/update.ts")).rename })),
  verb("stats, container stats", () => import("./commands/stats.ts")),
  verb("top, container top", () => import("./commands/top.ts"), {
    options: async () => (await import("./commands/top.ts")).args,
  }),
  verb("cp, container cp", () => import("./commands/cp.ts")),
  verb("rm, container rm, container remove", () => import("./commands/rm.ts")),
  verb("rmi, image rm, image remove", () => import("./commands/rmi.ts")),
  verb("tag, image tag", () => import("./commands/tag.ts")),
  verb("untag, image untag", async () => ({ default: (await import("./commands/tag.ts")).untag })),
  verb("history, image history", () => import("./commands/history.ts")),
  verb("image exists", () => import("./commands/exists.ts")),
  verb("image tree", () => import("./commands/tree.ts")),
  verb("save, image save", () => import("./commands/save.ts")),
  verb("load, image load", () => import("./commands/load.ts")),
  verb("diff, container diff", () => import("./commands/diff.ts")),
  verb("export, container export", () => import("./commands/export.ts")),
  verb("commit, container commit", () => import("./commands/commit.ts")),
  verb("import, image import", () => import("./commands/import.ts")),
  verb("image mount", () => import("./commands/mount.ts")),
  verb("image unmount, image umount", async () => ({ default: (await import("./commands/mount.ts")).unmount })),
  verb("unshare", () => import("./commands/unshare.ts"), {
    options: async () => (await import("./commands/unshare.ts")).args,
  }),
  verb("container prune", async () => ({ default: (await import("./commands/prune.ts")).containerPrune })),
  verb("image prune", async () => ({ default: (await import("./commands/prune.ts")).imagePrune })),
  verb("system prune", async () => ({ default: (await import("./commands/prune.ts")).systemPrune })),
  verb("system df", () => import("./commands/df.ts")),
  verb("system autostart", () => import("./commands/autostart.ts")),
  verb("system check", () => import("./commands/check.ts")),
  verb("manifest create", manifest("create")),
  verb("manifest add", manifest("add")),
  verb("manifest annotate", manifest("annotate")),
  verb("manifest inspect", manifest("inspect")),
  verb("manifest push", manifest("push")),
  verb("manifest rm", manifest("remove")),
  verb("chown", () => import("./commands/chown.ts")),
  verb("volume create", volume("create")),
  verb("volume ls, volume list", volume("list")),
  verb("volume inspect", volume("inspect")),
  verb("volume rm, volume remove", volume("remove")),
  verb("volume exists", volume("exists")),
  verb("volume export", volume("exportArchive")),
  verb("volume import", volume("importArchive")),
  verb("volume prune", async () => ({ default: (await import("./commands/prune.ts")).volumePrune })),
  verb("secret create", secret("create")),
  verb("secret ls, secret list", secret("list")),
  verb("secret inspect", secret("inspect")),
  verb("secret rm, secret remove", secret("remove")),
  verb("secret exists", secret("exists")),
  verb("network create", network("create")),
  verb("network ls, network list", network("list")),
  verb("network inspect", network("inspect")),
  verb("network connect", network("connect")),
  verb("network disconnect", network("disconnect")),
  verb("network rm, network remove", network("remove")),
  verb("network prune", async () => ({ default: (await import("./commands/prune.ts")).networkPrune })),
  verb("network exists", network("exists")),
  verb("network reload", network("reload")),
  verb("system reset", () => import("./commands/reset.ts")),
];

function manifest(name: "create" | "add" | "annotate" | "inspect" | "push" | "remove") {
  return async () => ({ default: (await import("./commands/manifest.ts"))[name] });
}

function volume(name: "create" | "list" | "inspect" | "remove" | "exists" | "exportArchive" | "importArchive") {
  return async () => ({ default: (await import("./commands/volume.ts"))[name] });
}

function secret(name: "create" | "list" | "inspect" | "remove" | "exists") {
  return async () => ({ default: (await import("./commands/secret.ts"))[name] });
}

function network(name: "create" | "list" | "inspect" | "connect" | "disconnect" | "remove" | "exists" | "reload") {
  return async () => ({ default: (await import("./commands/network.ts"))[name] });
}

function verb(names: string, load: () => Promise<unknown>, traits: Partial<Verb> = {}): Verb {
  const defaults = { common: false };
  return { names: names.split(", "), load: load as Verb["load"], ...defaults, ...traits };
}

/** The verb at the beginning of `words`, the name that was used, and the words after it; undefined where there is none. */
export function findVerb(words: string[]): { verb: Verb; name: string; rest: string[] } | undefined {
  const length = words[0]! in groups ? 2 : 1;
  const name = words.slice(0, length).join(" ");
  const found = verbs.find(({ names }) => names.includes(name));
  return found && { verb: found, name, rest: words.slice(length) };
}
