/** Who may import whom (docs/architecture.md). Imports of types alone vanish when compiled and are free. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const src = join(import.meta.dir, "../src");
const transpiler = new Bun.Transpiler({ loader: "ts" });

interface Import {
  from: string;
  /** Relative to src/ for files of ours, else as written, without `node:`. */
  to: string;
  ours: boolean;
  isStatic: boolean;
}

const files = new Map(
  [...new Bun.Glob("**/*.ts").scanSync(src)]
    .filter((file) => !file.endsWith(".d.ts"))
    .map((file) => [file, readFileSync(join(src, file), "utf8")]),
);
const imports = [...files].flatMap(([from, text]) =>
  transpiler.scanImports(text).map(({ path, kind }): Import => {
    const ours = path.startsWith(".");
    const to = ours ? normalize(join(dirname(from), path)) : path.replace(/^node:/, "");
    return { from, to, ours, isStatic: kind !== "dynamic-import" };
  }),
);

/** From the top down; a file may import from its own line and the lines below it. */
const order = [
  /^main\.ts$/,
  /^(cli|failure|help|usage|verbs)\.ts$/,
  /^(commands|api)\//,
  /^(args\.ts|output\.ts|(pull|push|layer)-output\.ts|prompt\.ts|format\/)/,
  /^build\//,
  /^(life|exec)\.ts$/,
  /^(image|image-mount|init-wish|commit|save|container|container-root|container-sizes|container-run|container-mounts|account|volumes|secrets|chown|copy|events|explain|network|stats|top|monitor|login|search|autostart|update|manifest-list|manifest-push|health-monitor|prune|system|unshare|prepare)\.ts$/,
  /^(mounts\/|(auto-ids|create|control|control-listener|container-connection|container-network|copies|driver|ending|hold|health-check|membership|name-files|network-options|networks|port-options|ports-stage|published-ports|repair|resolv-conf-watch|restart-policy|runtimespec|signals|streams|exec-streams|attach|waiting)\.ts$)/,
  /^(import|load|mend|pull|push|removal|tagging)\.ts$/,
  /^(archive-(docker|layout|plan|writer)|layer-fetch|upload-lanes|download|documents|new-image|starter-image|later|layer-extraction|layer-helper)\.ts$/,
  /^(ns\/(?!libc|constants|sys\/)|storage\/|net\/)/,
  /^(ns\/(libc\.ts|constants\.ts|sys\/)|(registries|short-names)\.ts)/,
  /^(spec|reference|config|errors|health|container-ids|nearest|instructions|log-options|platform|progress|signal-names|starter|userns-option|values|version|frames|printable)\.ts$/,
];
const rank = (file: string) => order.findIndex((pattern) => pattern.test(file));
const isBase = (file: string) => /^ns\/(libc\.ts|constants\.ts|sys\/)/.test(file);
const folder = (file: string) => file.slice(0, file.indexOf("/") + 1);
const inSource = ({ to, ours }: Import) => ours && !to.startsWith("../");

function violations(breaks: (found: Import) => boolean): string[] {
  return imports.filter(breaks).map(({ from, to }) => `${from} imports ${to}`);
}

test("every source file has its place in the order", () => {
  expect([...files.keys()].filter((file) => rank(file) === -1)).toEqual([]);
});

test("imports point down", () => {
  expect(violations((found) => inSource(found) && rank(found.to) < rank(found.from))).toEqual([]);
});

test("ns, storage and net do not import each other", () => {
  const engines = ["ns/", "storage/", "net/"];
  const crosses = ({ from, to }: Import) => engines.includes(folder(from)) && engines.includes(folder(to));
  expect(violations((i) => inSource(i) && crosses(i) && folder(i.from) !== folder(i.to) && !isBase(i.to))).toEqual([]);
});

test("commands and the API act through image and container: they leave ns and net alone", () => {
  const isFront = (file: string) => ["commands/", "api/"].includes(folder(file));
  expect(violations(({ from, to }) => isFront(from) && ["ns/", "net/"].includes(folder(to)))).toEqual([]);
});

const homes: [string, RegExp][] = [
  ["bun:ffi", /^ns\/libc\.ts$/],
  ["ofetch", /^net\//],
  ["citty", /^(cli\.ts|args\.ts|commands\/)/],
  ["consola", /^output\.ts$/],
];
for (const [name, home] of homes) {
  test(`${name} is imported only where it belongs`, () => {
    const isNamed = (to: string) => to === name || to.startsWith(`${name}/`);
    expect(violations(({ from, to }) => isNamed(to) && !home.test(from))).toEqual([]);
  });
}

test("the environment is read in config.ts only", () => {
  const readers = [...files].filter(([, text]) =>
    /(?<![.\w])(process|Bun|import\.meta)\.env\b/.test(transpiler.transformSync(text)),
  );
  expect(readers.map(([file]) => file).filter((file) => file !== "config.ts")).toEqual([]);
});

test("the clock that people set is read for what is shown, recorded or compared with such times: waits use the other", () => {
  const clock = /(?<!performance)\.now\(\)|new Date\(\)/;
  const shown = /^(format\/|values\.ts|events\.ts)/;
  const recorded =
    /^(create|networks|container-run|repair|commit|import|health-check|health-monitor)\.ts|^storage\/(events|container-log|json-log|garbage|volumes|secrets)\.ts/;
  const told = /^net\/(auth|refusal)\.ts/; // of servers: a token's life, Retry-After
  const readers = [...files].filter(([, text]) => clock.test(text)).map(([file]) => file);
  expect(readers.filter((file) => ![shown, recorded, told].some((kind) => kind.test(file)))).toEqual([]);
});

/** What is loaded before the user namespace is entered: a threaded process cannot enter one (user_namespaces(7)). */
const early = new Set(["main.ts", "prepare.ts"].flatMap((file) => [...closure(file)]));
const threaded = /^(stream|tty|readline|net|http|https|http2|tls|crypto|zlib|worker_threads|consola)(\/promises)?$/;

test("nothing that main.ts and prepare.ts load statically starts a thread", () => {
  const starts = ({ to, ours }: Import) => !ours && threaded.test(to);
  expect(violations((found) => early.has(found.from) && found.isStatic && starts(found))).toEqual([]);
});

test("nothing that main.ts and prepare.ts load statically touches process.stdout or process.stdin", () => {
  const touches = (file: string) => /process\.std(out|in)\b/.test(transpiler.transformSync(files.get(file)!));
  expect([...early].filter(touches)).toEqual([]);
});

/** Loading node:fs takes 2.7 ms: ns/sys/fs.ts has what is needed of it. */
test.each([
  "cli.ts",
  "monitor.ts",
  "ns/init.ts",
  ...["run", "ps", "images", "logs", "inspect", "rm"].map((name) => `commands/${name}.ts`),
])("%s does without node:fs", (start) => {
  const files = closure(start);
  expect(violations(({ from, to, isStatic }) => files.has(from) && isStatic && to === "fs")).toEqual([]);
});

function closure(start: string): Set<string> {
  const seen = new Set<string>();
  const waiting = [start];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file) || !files.has(file)) continue;
    seen.add(file);
    for (const { from, to, isStatic } of imports) if (from === file && isStatic) waiting.push(to);
  }
  return seen;
}
