/** Commands that change the store beside one another, killed, and on a disk that is full. POD_TEST_SEED repeats the kills. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { file } from "../storage/archive.ts";
import { pushImage, shell } from "./crafted.ts";
import { binary, Host, onBothDrivers, quietRun } from "./harness.ts";

import { randomNumbers, seed } from "./random.ts";
import { contentOf, expectWhole, killRounds } from "./storekill.ts";

let registry: TestRegistry;
let image: string;
beforeAll(async () => {
  registry = await startRegistry();
  const files = (folder: string) => Array.from({ length: 100 }, (_, i) => file(`${folder}/f${i}`, noise(i * 60)));
  image = await pushImage(registry, "team/app", [shell(), files("a"), [...files("b"), file("etc/motd", "hello\n")]]);
});
afterAll(() => registry.stop());

onBothDrivers("many commands at once", (host) => {
  const all = (count: number, run: (i: number) => Promise<unknown>) =>
    Promise.all(Array.from({ length: count }, (_, i) => run(i)));

  test("runs and pulls succeed beside rmi and prune, and the store stays whole", async () => {
    let isOver = false;
    const removing = all(2, async (i) => {
      const commands = [
        ["rmi", "-f", image],
        ["image", "prune", "-af"],
      ];
      while (!isOver) await host.pod(...commands[i]!);
    });
    const results = await all(4, async (i) => {
      const outcomes: string[] = [];
      for (let round = 0; round < 3; round++) {
        const command = i % 2 ? ["pull", "-q", image] : [...quietRun, image, "cat", "/etc/motd"];
        const { code, stdout, stderr } = await host.pod(...command);
        outcomes.push(`${code} ${stdout}${stderr}`);
      }
      return outcomes;
    });
    isOver = true;
    await removing;
    const wanted = (i: number) => (i % 2 ? `0 ${image}:latest\n` : "0 hello\n");
    expect(results).toEqual(results.map((_, i) => Array(3).fill(wanted(i))));
    await expectWhole(host, "afterwards");
    await host.must("image", "prune", "-af");
    expect(contentOf(host)).toEqual([]);
  });

  test("system reset waits for a pull, and nothing of the pull is left in the empty store", async () => {
    const pulling = host.pod("pull", "-q", image);
    const [reset] = await Promise.all([host.pod("system", "reset", "-f"), pulling]);
    expect(reset).toMatchObject({ code: 0, stderr: "" });
    await expectWhole(host, "after the reset");
    await host.must("system", "reset", "-f");
    expect(contentOf(host)).toEqual([]);
  });
});

describe("SIGKILL", () => {
  const host = new Host();
  const random = randomNumbers(seed);
  const rounds = 8;
  const archive = () => join(host.work, "image.tar");
  beforeAll(async () => {
    host.open();
    await host.must(...quietRun, "starter", "true");
    const script = "for i in $(seq 50); do head -c 9999 /dev/zero >/f$i; done; sleep 600";
    await host.must("run", "-d", "--name", "kept", "--network", "none", "starter", "sh", "-c", script); // its image is in use
    await host.must("pull", "-q", image);
    await host.must("save", "-o", archive(), image);
    await host.must("rmi", image);
  });
  afterAll(() => host.close(), 60_000);
  const keptRuns = async () => expect(await host.shOutput("echo runs")).toBe("runs");

  test(`${rounds} pulls at random moments, seed ${seed}: the next takes up what there is`, async () => {
    await killRounds(host, rounds, random, { command: ["pull", "-q", image], after: keptRuns });
    const pull = { command: ["pull", "-q", image], prepare: () => host.pod("rmi", "-f", image) };
    await killRounds(host, rounds, random, { ...pull, after: keptRuns });
  }, 120_000);

  for (const command of [
    ["rmi", "-f"],
    ["image", "prune", "-af"],
    ["system", "prune", "-af"],
  ]) {
    test(`${rounds} of ${command.join(" ")} at random moments, seed ${seed}`, async () => {
      const operands = command[0] === "rmi" ? [image] : [];
      const prepare = () => host.must("pull", "-q", image);
      await killRounds(host, rounds, random, { command: [...command, ...operands], prepare });
    }, 120_000);
  }

  const few = 4;
  test(`${few} of load, commit and push at random moments, seed ${seed}`, async () => {
    const copy = `${registry.host}/team/copy`;
    const makers = [
      { command: ["load", "-i", archive()], prepare: () => host.pod("rmi", "-f", image) },
      { command: ["commit", "kept", "made:1"], prepare: () => host.pod("rmi", "-f", "made:1") },
      {
        command: ["push", "-q", copy],
        prepare: async () => {
          await host.must("pull", "-q", image);
          await host.must("tag", image, copy);
        },
      },
    ];
    for (const maker of makers) await killRounds(host, few, random, { ...maker, after: keptRuns });
  }, 120_000);
});

describe("a disk that is full", () => {
  const host = new Host();
  beforeAll(() => host.open());
  afterAll(() => host.close());

  test(
    "at any point of a pull is told with a hint, breaks nothing, and a pull with more space succeeds",
    () => expectTold({ command: `pull -q ${image}`, made: image }),
    60_000,
  );

  test("at any point of a load likewise", async () => {
    const archive = join(host.work, "image.tar");
    await host.must("pull", "-q", image);
    await host.must("save", "-o", archive, image);
    await expectTold({ command: `load -q -i ${archive}`, made: image });
  }, 60_000);

  test("at any point of a commit likewise", async () => {
    const script = "for i in $(seq 50); do head -c 40000 /dev/urandom >/f$i; done";
    const prepare = `run --name changed --network none starter sh -c '${script}'`;
    await expectTold({ prepare, command: "commit changed made:1", made: "made:1" });
  }, 60_000);

  /** With more and more space, up to what it needs. */
  async function expectTold(making: Making): Promise<void> {
    const outcomes: string[] = [];
    for (let kilobytes = 64; kilobytes < 16_000; kilobytes = Math.ceil(kilobytes * 1.6)) {
      outcomes.push(await makeIn(kilobytes, making));
      if (outcomes.at(-1) === "whole") break;
    }
    expect(outcomes.length).toBeGreaterThan(5);
    expect(outcomes.slice(0, -1)).toEqual(outcomes.slice(0, -1).map(() => "no space, all is well"));
    expect(outcomes.at(-1)).toBe("whole");
  }

  test("can be emptied by rmi and by prune", async () => {
    for (const command of [`rmi ${image}`, "image prune -af"]) {
      const data = mkdtempSync(join(host.work, "d"));
      const script = `mount -t tmpfs -o size=16m,mode=700 small "$1" && "$0" pull -q "$2" >/dev/null || exit 99
cat /dev/zero >"$1/filler" 2>/dev/null; "$0" ${command} >/dev/null && ls "$1/pod/layers" "$1/pod/l" "$1/pod/blobs/sha256"`;
      expect((await onTmpfs(script, data)).split("\n").filter((line) => /^\w/.test(line))).toEqual([]);
    }
  });

  test("filled by a container's output: it goes on, its end and the loss are recorded, and it can be removed", async () => {
    const data = mkdtempSync(join(host.work, "d"));
    const program = "head -c 20000000 /dev/zero | tr '\\0' x; echo went on >/proc/1/fd/2; exit 7";
    const script = `mount -t tmpfs -o size=12m,mode=700 small "$1" && "$0" pull -q starter >/dev/null || exit 99
"$0" run -d --name loud --network none starter sh -c "${program}" >/dev/null; "$0" wait loud
"$0" inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' loud
"$0" logs loud | wc -c; "$0" rm loud; "$0" system check >/dev/null && df -k --output=used "$1" | tail -n 1`;
    const [code, state, logged, removed, usedKb] = (await onTmpfs(script, data)).split("\n");
    expect({ code, removed }).toEqual({ code: "7", removed: "loud" });
    const lost = Number(/^exited 7 (\d+) bytes of its log were lost$/.exec(state!)?.[1]);
    expect(lost + Number(logged)).toBe(20_000_000 + "went on\n".length);
    expect(Number(usedKb)).toBeLessThan(4000);
  });

  test("who runs a container hears that its output is not whole, the container goes, and what removes works on", async () => {
    const data = mkdtempSync(join(host.work, "d"));
    const program = "head -c 20000000 /dev/zero; exit $1";
    const script = `mount -t tmpfs -o size=12m,mode=700 small "$1" && "$0" pull -q starter >/dev/null || exit 99
"$0" create --name other starter true >/dev/null
for code in 0 7; do
  "$0" run --rm --network none starter sh -c '${program}' - $code >"$1.out" 2>"$1.err"; echo "$? $(grep -c 'bytes of output were lost' "$1.err")"
done
cat /dev/zero >"$1/filler" 2>/dev/null
"$0" rm other && "$0" system prune -af >/dev/null && "$0" ps -aq && ls "$1/pod/containers" "$1/pod/run"`;
    expect((await onTmpfs(script, data)).split("\n").filter((line) => /^\w/.test(line))).toEqual([
      "125 1",
      "7 1",
      "other",
    ]);
  });

  /** What pod is told to do: `command` makes the image `made`, `prepare` comes before the disk is filled. */
  interface Making {
    prepare?: string;
    command: string;
    made: string;
  }

  /** In a store on a tmpfs with that much space, mounted in a namespace where only one id is mapped. */
  async function makeIn(kilobytes: number, { prepare = "images", command, made }: Making): Promise<string> {
    const data = mkdtempSync(join(host.work, "d"));
    const script = `list() { (cd "$1/pod" && find layers l tmp partial blobs/sha256 locks/leases -mindepth 1 -maxdepth 1 | sort); }
mount -t tmpfs -o size=48m,mode=700 small "$1" && "$0" ${prepare} >"$1.out" || exit 99
list "$1" >"$1.before"
used=$(df -k --output=used "$1" | tail -n 1); head -c $((48 * 1024 - used - ${kilobytes}))k /dev/zero >"$1/filler" || exit 99
"$0" ${command} >"$1.out" 2>"$1.err"; code=$?
rm "$1/filler"; "$0" system check >"$1.check" 2>&1 || cat "$1.check" "$1.err"
[ $code = 0 ] && { echo whole; exit; }
grep -q "no space left on device (ENOSPC)" "$1.err" && grep -q "hint: free some space" "$1.err" || cat "$1.err"
"$0" ${command} >"$1.out" 2>&1 || cat "$1.out"
"$0" rmi -f ${made} >"$1.out" 2>&1 || cat "$1.out"
list "$1" | diff "$1.before" - && echo "no space, all is well"`;
    return await onTmpfs(script, data);
  }

  async function onTmpfs(script: string, data: string): Promise<string> {
    const path = `${join(host.work, "none")}:/usr/bin:/bin`;
    const child = Bun.spawn(["unshare", "--map-root-user", "--mount", "/bin/sh", "-c", script, binary, data, image], {
      env: { ...host.env, XDG_DATA_HOME: data, PATH: path },
      cwd: host.work,
      stdout: "pipe",
      stderr: "inherit",
    });
    return (await child.stdout.text()).trim();
  }
});

/** Bytes that do not compress, the same ones every time. */
function noise(length: number): string {
  const random = randomNumbers(length);
  return Array.from({ length }, () => String.fromCharCode(33 + Math.floor(random() * 90))).join("");
}
