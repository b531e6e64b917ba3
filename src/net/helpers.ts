/** Credential helpers, programs that keep passwords: docker-credential-helpers' protocol. Secrets go by stdin and stdout only. */

import { config } from "../config.ts";
import { PodError } from "../errors.ts";
import { hubKey } from "./authfiles.ts";
import type { Credentials } from "./credentials.ts";

interface Answer {
  Username?: string;
  Secret?: string;
}

/** What the helper has for `docker.io`, `host:5000`. Throws PodError where it fails. */
export async function getFromHelper(helper: string, key: string): Promise<Credentials | undefined> {
  const answer = await run(helper, "get", serverOf(key));
  if (answer === undefined) return undefined;
  const { Username = "", Secret } = parseAnswer(helper, answer);
  if (!Secret) return undefined;
  return Username === "<token>" ? { identityToken: Secret } : { username: Username, password: Secret };
}

export async function storeInHelper(helper: string, key: string, credentials: Credentials): Promise<void> {
  const [Username, Secret] =
    "identityToken" in credentials
      ? ["<token>", credentials.identityToken]
      : [credentials.username, credentials.password];
  await run(helper, "store", JSON.stringify({ ServerURL: serverOf(key), Username, Secret }));
}

export async function eraseFromHelper(helper: string, key: string): Promise<void> {
  await run(helper, "erase", serverOf(key));
}

function serverOf(key: string): string {
  return key === "docker.io" ? hubKey : key;
}

/** Its stdout; undefined where it says `credentials not found`. Its words are not repeated: they may hold the secret. */
async function run(helper: string, action: "get" | "store" | "erase", input: string): Promise<string | undefined> {
  const program = `docker-credential-${helper}`;
  if (helper.includes("/") || !Bun.which(program, { PATH: config.path })) {
    throw new PodError(`credential helper ${program} is not in PATH`);
  }
  const child = Bun.spawn([program, action], { stdin: Buffer.from(input), stdout: "pipe", stderr: "ignore" });
  const [answer, exitCode] = await Promise.all([child.stdout.text(), child.exited]);
  if (exitCode === 0) return answer;
  if (action !== "store" && /credentials not found/i.test(answer)) return undefined;
  throw new PodError(`credential helper ${program} failed with exit code ${exitCode}`);
}

function parseAnswer(helper: string, answer: string): Answer {
  try {
    return JSON.parse(answer) as Answer;
  } catch {
    throw new PodError(`credential helper docker-credential-${helper} did not answer with JSON`);
  }
}
