import { expect, test } from "bun:test";
import { parseOptions } from "../../src/args.ts";
import { runArgs, toCreateOptions } from "../../src/commands/create-options.ts";
import { formatError } from "../../src/errors.ts";

function create(...words: string[]) {
  const { options, operands } = parseOptions(words, runArgs, { stopAtFirstOperand: true });
  return toCreateOptions(options, operands, { detach: false });
}

test("image and command are the operands", () => {
  expect(create("-it", "--rm", "alpine", "sh", "-c", "true")).toMatchObject({
    image: "alpine",
    command: ["sh", "-c", "true"],
    tty: true,
    interactive: true,
    autoRemove: true,
  });
});

const networking = { networks: [] as string[], aliases: [], dns: [], dnsSearch: [], dnsOptions: [] };

test("defaults are Docker's", () => {
  expect(create("alpine")).toMatchObject({
    command: [],
    env: [],
    binds: [],
    networking,
    ports: [],
    expose: [],
    publishAll: false,
    pull: "missing",
    readOnly: false,
    name: undefined,
    entrypoint: undefined,
  });
});

test("every option arrives", () => {
  const words =
    "-e A=1 -e B --env-file f --name n -v /a:/b:ro -w /w -u 1:2 --entrypoint= -h host --net none --read-only --tmpfs /t --shm-size 1g --init --pull always --platform linux/arm64 -l k=v --add-host db=10.0.0.7 --storage-driver overlay --log-driver json-file --log-opt max-size=1m --log-opt max-file=3 --health-interval 1s --health-timeout 2s --health-start-period 3s --health-start-interval 500ms --health-retries 4 --health-on-failure restart";
  expect(create(...words.split(" "), "--health-cmd", "ping me", "alpine")).toEqual({
    image: "alpine",
    command: [],
    name: "n",
    env: ["A=1", "B"],
    envFiles: ["f"],
    binds: ["/a:/b:ro"],
    workdir: "/w",
    user: "1:2",
    entrypoint: "",
    hostname: "host",
    networking: { ...networking, networks: ["none"] },
    ports: [],
    expose: [],
    publishAll: false,
    readOnly: true,
    readOnlyTmpfs: true,
    tmpfs: ["/t"],
    mounts: [],
    volumesFrom: [],
    shmSizeBytes: 2 ** 30,
    init: true,
    pull: "always",
    platform: "linux/arm64",
    labels: ["k=v"],
    addHosts: ["db:10.0.0.7"],
    storageDriver: "overlay",
    tty: false,
    interactive: false,
    autoRemove: false,
    replace: false,
    restart: "no",
    health: {
      check: {
        Test: ["CMD-SHELL", "ping me"],
        Interval: 1e9,
        Timeout: 2e9,
        StartPeriod: 3e9,
        StartInterval: 5e8,
        Retries: 4,
      },
      none: false,
      onFailure: "restart",
    },
    log: { driver: "json-file", options: { "max-size": "1m", "max-file": "3" }, maximumBytes: 1 << 20, files: 3 },
    detach: false,
  });
});

for (const [text, host] of [
  ["db:10.0.0.7", "db:10.0.0.7"],
  ["db=[fd00::7]", "db:fd00::7"],
  ["db:fd00::7", "db:fd00::7"],
] as const) {
  test(`--add-host ${text}`, () => expect(create("--add-host", text, "x").addHosts).toEqual([host]));
}

for (const [words, text] of [
  [["--add-host", "db"], 'bad format for add-host: "db"'],
  [["--add-host", "a b:10.0.0.3"], 'bad format for add-host: "a b:10.0.0.3"'],
  [["--shm-size", "9".repeat(30)], "invalid size: '999"],
  [["--add-host", "db:10.0.0.300"], 'invalid IP address in add-host: "10.0.0.300"'],
  [["--label", "=x"], "invalid label '=x': empty name"],
  [["--label", "a b=x"], "label 'a b' contains whitespaces"],
  [["--pull", "often"], `invalid pull option: 'often': must be one of "always", "missing" or "never"`],
  [["-h", "-x"], "invalid hostname format: -x"],
  [["--shm-size", "big"], `invalid argument "big" for "--shm-size" flag: invalid size: 'big'`],
] as const) {
  test(`${words.join(" ")}: ${text}`, () => {
    let error: unknown;
    try {
      create(...words, "alpine");
    } catch (thrown) {
      error = thrown;
    }
    expect(formatError(error)).toContain(text);
  });
}
