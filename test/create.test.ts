import { expect, test } from "bun:test";
import { type CreateOptions, checkName, toRecord } from "../src/create.ts";
import type { Image } from "../src/storage/images.ts";
import { randomNumbers, seed } from "./e2e/random.ts";

const networking = { networks: [] as string[], aliases: [], dns: [], dnsSearch: [], dnsOptions: [] };
const options: CreateOptions = {
  image: "alpine",
  command: [],
  env: [],
  envFiles: [],
  binds: [],
  mounts: [],
  volumesFrom: [],
  readOnlyTmpfs: true,
  networking,
  ports: [],
  expose: [],
  publishAll: false,
  readOnly: false,
  tmpfs: [],
  init: false,
  pull: "missing",
  labels: [],
  addHosts: [],
  tty: false,
  interactive: false,
  autoRemove: false,
  replace: false,
  restart: "no",
  health: { check: {}, none: false, onFailure: "none" },
  log: { driver: "local", options: {}, maximumBytes: 100 << 20, files: 5 },
  detach: false,
};

const image = (config: Image["config"]["config"]) =>
  ({
    id: "sha256:1",
    platform: { os: "linux", architecture: "amd64" },
    config: { os: "linux", architecture: "amd64", config, rootfs: { type: "layers", diff_ids: [] } },
  }) as unknown as Image;

const record = (given: Partial<CreateOptions>, config: Image["config"]["config"] = { Cmd: ["sh"] }) =>
  toRecord({ ...options, ...given }, image(config), {
    id: "ab".repeat(32),
    driver: "overlay",
    hostname: "laptop",
    variable: (name) => (name === "CALLER" ? "value" : undefined),
    image: () => image({}),
    mountsOf: () => [],
    newVolumeName: () => "new",
    ids: { uid: 1000, gid: 1000 },
    imageUser: () => ({ uid: 7, gid: 8 }),
    freeIds: () => ({ mode: "auto", uidMappings: [], gidMappings: [] }),
  });

test("entrypoint and command override each other as in Docker", () => {
  const config = { Entrypoint: ["/entry"], Cmd: ["a", "b"] };
  expect(record({}, config).process.args).toEqual(["/entry", "a", "b"]);
  expect(record({ command: ["c"] }, config).process.args).toEqual(["/entry", "c"]);
  expect(record({ entrypoint: "/mine" }, config).process.args).toEqual(["/mine"]);
  expect(record({ entrypoint: "", command: ["c"] }, config).process.args).toEqual(["c"]);
  expect(() => record({ entrypoint: "" }, config)).toThrow("no command specified");
});

test("a later value of a variable takes the place of the earlier, and a bare name takes the caller's", () => {
  const { env } = record(
    { env: ["A=2", "CALLER", "GONE"], hostname: "box", tty: true },
    { Cmd: ["sh"], Env: ["A=1", "PATH=/p"] },
  ).process;
  expect(env).toEqual(["PATH=/p", "HOSTNAME=box", "TERM=xterm", "container=pod", "A=2", "CALLER=value"]);
});

test("the host name is the short id, the one given, or the host's own with its network", () => {
  expect(record({}).hostname).toBe("abababababab");
  expect(record({ hostname: "box" }).hostname).toBe("box");
  expect(record({ networking: { ...networking, networks: ["host"] } }).hostname).toBe("laptop");
});

test("who shares another container's network has no names and ports of its own", () => {
  const guest = { networking: { ...networking, networks: ["container:web"] } };
  expect(record(guest).hostname).toBe("laptop");
  const port = { port: 80, protocol: "tcp" as const, hostAddress: "", hostPort: 0 };
  expect(() => record({ ...guest, hostname: "box" })).toThrow("hostname and the network mode");
  expect(() => record({ ...guest, addHosts: ["a:10.0.0.1"] })).toThrow("custom host-to-IP mapping");
  expect(() => record({ ...guest, ports: [port] })).toThrow("port publishing and the container type network mode");
  expect(() => record({ ...guest, expose: ["80/tcp"] })).toThrow("port exposing");
});

test("-P publishes what the image and --expose name, but for what is published already", () => {
  const port = { port: 80, protocol: "tcp" as const, hostAddress: "", hostPort: 8080 };
  const config = { Cmd: ["sh"], ExposedPorts: { "80/tcp": {}, "443/tcp": {} } };
  const { ports, exposedPorts } = record({ publishAll: true, ports: [port], expose: ["53/udp"] }, config);
  expect(exposedPorts).toEqual(["80/tcp", "443/tcp", "53/udp"]);
  expect(ports?.map(({ port, protocol, hostPort }) => `${hostPort}:${port}/${protocol}`)).toEqual([
    "8080:80/tcp",
    "0:443/tcp",
    "0:53/udp",
  ]);
});

test("names are Docker's", () => {
  expect(record({ name: "a.b-c_1" }).name).toBe("a.b-c_1");
  for (const name of ["", "a", "-a", "a b", "a/b", "ä1"]) {
    expect(() => record({ name })).toThrow("Invalid container name");
  }
});

test(`1,000 random names that are none, seed ${seed}`, () => {
  const next = randomNumbers(seed);
  const pick = (from: string) => from[Math.floor(next() * from.length)]!;
  const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  const name = (length: number) => pick(first) + Array.from({ length }, () => pick(`${first}_.-`)).join("");
  const anyOther = () => {
    for (;;) {
      const character = String.fromCodePoint(Math.floor(next() ** 3 * 0x110000)); // mostly of the first planes
      if (!`${first}_.-`.includes(character)) return character;
    }
  };
  const spoiled = [
    () => pick("_.-") + name(5),
    () => name(0),
    () => name(255 + Math.floor(next() * 1000)),
    () => {
      const [whole, at] = [name(9), Math.floor(next() * 11)];
      return whole.slice(0, at) + anyOther() + whole.slice(at);
    },
  ];
  for (let round = 0; round < 1000; round++) {
    const text = spoiled[Math.floor(next() * 4)]!();
    expect(() => checkName(text)).toThrow("Invalid container name");
    expect(checkName(name(1 + Math.floor(next() * 254)))).toBeString();
  }
});
