import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "../certificates.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { startTokenServer } from "../tokens.ts";
import { Host, type Result } from "./harness.ts";

setDefaultTimeout(30_000);
const secret = "p:ss wörd";
const basic = (name: string, password: string) => Buffer.from(`${name}:${password}`).toString("base64");
const host = new Host();
let registry: TestRegistry;

beforeAll(async () => {
  host.open();
  registry = await startRegistry({ users: { ann: secret } });
});
afterAll(async () => {
  await Promise.all([host.close(), registry.stop()]);
});

const dockerFile = () => join(host.home, ".docker/config.json");
const containersFile = () => join(host.home, ".config/containers/auth.json");
const write = (path: string, value: object) => {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, JSON.stringify(value), { mode: 0o644 });
};
const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const logIn = (password = secret, ...more: string[]) =>
  host.podWith({ stdin: `${password}\n` }, "login", "-u", "ann", "--password-stdin", ...more, registry.host);

beforeEach(() => {
  for (const folder of [".docker", ".config", "bin"]) rmSync(join(host.home, folder), { recursive: true, force: true });
});

const expectNoSecret = ({ stdout, stderr }: Result) => {
  for (const word of [secret, basic("ann", secret), "wrong"]) expect(stdout + stderr).not.toContain(word);
};

test("a login is kept in Docker's file, for the user alone, and serves the next command; logout forgets it", async () => {
  const result = await logIn();
  expect(result).toMatchObject({ code: 0, stdout: "Login Succeeded\n" });
  expect(result.stderr).toBe(
    `\nWARNING! Your credentials are stored unencrypted in '${dockerFile()}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n`,
  );
  expectNoSecret(result);
  expect(read(dockerFile())).toEqual({ auths: { [registry.host]: { auth: basic("ann", secret) } } });
  expect(statSync(dockerFile()).mode & 0o777).toBe(0o600);
  expect((await host.pod("pull", `${registry.host}/nosuch`)).stderr).toContain("not found");
  expect(await host.must("login", "--get-login", registry.host)).toBe("ann");
  expect(await host.must("login", registry.host)).toBe(
    "Authenticating with existing credentials... [Username: ann]\nLogin Succeeded",
  );

  expect(await host.must("logout", registry.host)).toBe(`Removing login credentials for ${registry.host}`);
  expect(read(dockerFile())).toEqual({ auths: {} });
  expect((await host.pod("pull", `${registry.host}/nosuch`)).stderr).toContain("pull access denied");
  expect((await host.pod("login", "--get-login", registry.host)).stderr).toBe(
    `pod: not logged into ${registry.host}\n`,
  );
});

test("what other programs wrote stays, and a symbolic link stays one", async () => {
  const others = { auths: { "quay.io": { auth: basic("b", "c") } }, psFormat: "x", proxies: { default: {} } };
  const target = join(host.home, ".config/dotfiles/docker.json");
  write(target, others);
  mkdirSync(join(host.home, ".docker"));
  symlinkSync(target, dockerFile());
  expect((await logIn()).code).toBe(0);
  expect(lstatSync(dockerFile()).isSymbolicLink()).toBe(true);
  const auths = { ...others.auths, [registry.host]: { auth: basic("ann", secret) } };
  expect(read(target)).toEqual({ ...others, auths });
  expect(statSync(target).mode & 0o777).toBe(0o600);
});

describe("a login goes", () => {
  test("where REGISTRY_AUTH_FILE says", async () => {
    const path = join(host.work, "auth.json");
    const options = { stdin: secret, env: { REGISTRY_AUTH_FILE: path } };
    await host.podWith(options, "login", "-u", "ann", "--password-stdin", registry.host);
    expect(Object.keys(read(path).auths)).toEqual([registry.host]);
    expect(existsSync(dockerFile())).toBe(false);
  });

  test("where DOCKER_CONFIG says", async () => {
    const options = { stdin: secret, env: { DOCKER_CONFIG: join(host.work, "docker") } };
    await host.podWith(options, "login", "-u", "ann", "--password-stdin", registry.host);
    expect(Object.keys(read(join(host.work, "docker/config.json")).auths)).toEqual([registry.host]);
  });

  test("where one for this registry is already, since that one would be found first", async () => {
    write(containersFile(), { auths: { [registry.host]: { auth: basic("old", "old") } } });
    await logIn();
    expect(read(containersFile())).toEqual({ auths: { [registry.host]: { auth: basic("ann", secret) } } });
    expect(existsSync(dockerFile())).toBe(false);
  });
});

test("a wrong password is refused in Docker's words, and nothing is kept", async () => {
  const result = await logIn("wrong");
  expect(result).toMatchObject({ code: 1, stdout: "" });
  expect(result.stderr).toBe(
    `pod: login attempt to http://${registry.host}/v2/ failed with status: 401 Unauthorized\n`,
  );
  expectNoSecret(result);
  expect(existsSync(dockerFile())).toBe(false);
});

test("-p warns", async () => {
  const { code, stderr } = await host.pod("login", "-u", "ann", "-p", secret, registry.host);
  expect(code).toBe(0);
  expect(stderr).toStartWith("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
});

test("on a terminal it asks, and does not show the password", async () => {
  const session = host.session("login", registry.host);
  await session.waitFor("Username: ");
  session.type("ann\r");
  await session.waitFor("Password: ");
  session.type(`x${"\x7f"}${secret}\r`);
  await session.waitFor("Login Succeeded");
  expect(await session.exit()).toBe(0);
  expect(session.output()).not.toContain(secret);
  expect(read(dockerFile()).auths[registry.host].auth).toBe(basic("ann", secret));
});

test("^C at the password ends it, and the terminal shows again what is typed", async () => {
  const session = host.session("login", "-u", "ann", registry.host);
  await session.waitFor("Password: ");
  session.type("\x03");
  expect(await session.exit()).toBe(130);
  expect(session.terminal.localFlags & 0o13).toBe(0o13); // ECHO ICANON ISIG
  expect(existsSync(dockerFile())).toBe(false);
});

test("a line of options that says too little or too much is refused in Docker's words", async () => {
  const refuse = async (...args: string[]) => (await host.pod("login", ...args)).stderr.split("\n")[0];
  expect(await refuse("--password-stdin", "h")).toBe("pod: the --password-stdin option requires --username to be set");
  expect(await refuse("-u", "a", "-p", "b", "--password-stdin", "h")).toBe(
    "pod: conflicting options: cannot specify both --password and --password-stdin",
  );
  expect(await refuse("-u", "", "h")).toBe("pod: username is empty");
  expect(await refuse("-u", "a", "h")).toBe("pod: Error: Cannot perform an interactive login from a non TTY device");
  expect(await refuse("a", "b")).toBe("pod: 'pod login' requires at most 1 argument");
});

describe("a credential helper", () => {
  const log = () => join(host.home, "bin/log");
  const env = () => ({ PATH: `${host.home}/bin:${process.env.PATH}` });
  beforeEach(() => {
    const script = join(host.home, "bin/docker-credential-test");
    mkdirSync(join(host.home, "bin"));
    const kept = join(host.home, "bin/kept");
    writeFileSync(
      script,
      `#!/bin/sh
echo "$*" >>${log()}
case $1 in
  store) cat >${kept} ;;
  get) cat >/dev/null; [ -e ${kept} ] && cat ${kept} || { echo credentials not found in native keychain; exit 1; } ;;
  erase) cat >/dev/null; rm -f ${kept} ;;
esac
`,
      { mode: 0o755 },
    );
  });

  for (const setting of ["credsStore", "credHelpers"]) {
    test(`of ${setting} keeps the login, which is in no file and in no command line`, async () => {
      write(dockerFile(), { [setting]: setting === "credsStore" ? "test" : { [registry.host]: "test" } });
      const options = { stdin: secret, env: env() };
      const login = await host.podWith(options, "login", "-u", "ann", "--password-stdin", registry.host);
      expect(login).toMatchObject({ code: 0, stdout: "Login Succeeded\n", stderr: "" });
      expect(read(dockerFile()).auths).toEqual({ [registry.host]: {} });
      expect((await host.podWith(options, "pull", `${registry.host}/nosuch`)).stderr).toContain("not found");
      await host.podWith(options, "logout", registry.host);
      expect((await host.podWith(options, "pull", `${registry.host}/nosuch`)).stderr).toContain("access denied");
      expect(new Set(readFileSync(log(), "utf8").trim().split("\n"))).toEqual(new Set(["get", "store", "erase"]));
    });
  }

  test("that is missing is an error, and nothing is written elsewhere", async () => {
    write(dockerFile(), { credsStore: "absent" });
    const result = await logIn();
    expect(result.stderr).toBe("pod: credential helper docker-credential-absent is not in PATH\n");
    expect(read(dockerFile())).toEqual({ credsStore: "absent" });
  });
});

test("logout --all forgets every login in every file", async () => {
  write(containersFile(), { auths: { "quay.io": { auth: basic("a", "b") } } });
  await logIn();
  await host.must("logout", "--all");
  expect([read(containersFile()), read(dockerFile())]).toEqual([{ auths: {} }, { auths: {} }]);
});

describe("a registry with tokens", () => {
  let directory: string;
  let tokens: ReturnType<typeof startTokenServer>;
  let closed: TestRegistry;
  const start = async (refreshToken?: string) => {
    directory = mkdtempSync(join(tmpdir(), "pod-test-login-"));
    const { server } = makeCertificates(directory, "IP:127.0.0.1");
    tokens = startTokenServer({ ...server, users: { ann: secret }, allowed: () => ["pull"], refreshToken });
    closed = await startRegistry({ tokens: tokens.settings });
  };
  const enter = (password: string) =>
    host.podWith({ stdin: password }, "login", "-u", "ann", "--password-stdin", closed.host);
  afterEach(async () => {
    tokens.stop();
    await closed.stop();
    rmSync(directory, { recursive: true });
  });

  test("takes the password at its token server, and refuses a wrong one", async () => {
    await start();
    expect((await enter("wrong")).stderr).toBe(
      `pod: Get "http://${closed.host}/v2/": unauthorized: incorrect username or password\n`,
    );
    expect((await enter(secret)).code).toBe(0);
    expect(read(dockerFile()).auths[closed.host]).toEqual({ auth: basic("ann", secret) });
  });

  test("may give a token that is kept in the password's place", async () => {
    await start("refresh-me");
    expect((await enter(secret)).code).toBe(0);
    expect(read(dockerFile()).auths[closed.host]).toEqual({ auth: basic("ann", ""), identitytoken: "refresh-me" });
    expect((await host.pod("pull", `${closed.host}/nosuch`)).stderr).toContain("not found");
    expect(tokens.seen.at(-1)?.query.get("grant_type")).toBe("refresh_token");
  });
});
