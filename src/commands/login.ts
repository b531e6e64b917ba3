import { readFileSync } from "node:fs";
import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { formatError, NotFoundError, PodError, UsageError } from "../errors.ts";
import { currentLogin, type Kept, login, registryKey, tryAgain } from "../login.ts";
import * as output from "../output.ts";
import { ask, askSecret, canAsk } from "../prompt.ts";

const args = {
  "get-login": { type: "boolean", description: "Print the name of the user who is logged in" },
  password: { type: "string", alias: "p", description: "Password or Personal Access Token (PAT)" },
  "password-stdin": { type: "boolean", description: "Take the Password or Personal Access Token (PAT) from stdin" },
  username: { type: "string", alias: "u", description: "Username" },
  server: { type: "positional", required: false, description: "Host of the registry; without it Docker Hub" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "login", description: "Authenticate to a registry" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const key = registryKey(operands[0]);
    if (options.getLogin) return output.line(await loggedInUser(key));
    checkOptions(options);
    if (!options.username && !options.password && (await worksAlready(key))) return output.line("Login Succeeded");
    const credentials = await complete(key, options);
    report(await login(key, credentials));
  },
});

interface LoginOptions {
  username?: string;
  password?: string;
  passwordStdin: boolean;
}

/** Docker's texts (docker/cli, cli/command/registry/login.go). */
function checkOptions({ username, password, passwordStdin }: LoginOptions): void {
  if (passwordStdin && password !== undefined) {
    throw new UsageError("conflicting options: cannot specify both --password and --password-stdin");
  }
  if (passwordStdin && username === undefined) {
    throw new UsageError("the --password-stdin option requires --username to be set");
  }
  if (username === "") throw new UsageError("username is empty");
  if (password === "") throw new UsageError("password is empty");
  if (password !== undefined) {
    output.write("stderr", "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
  }
}

async function loggedInUser(key: string): Promise<string> {
  const credentials = await currentLogin(key);
  if (!credentials) throw new NotFoundError(`not logged into ${key}`);
  if ("identityToken" in credentials) throw new PodError(`the login at ${key} is a token, which names no user`);
  return credentials.username;
}

/** Without a name or a password, the login that is there is tried first, as Docker does. */
async function worksAlready(key: string): Promise<boolean> {
  const credentials = await currentLogin(key);
  if (!credentials) return false;
  const name = "username" in credentials ? ` [Username: ${credentials.username}]` : "";
  output.line(`Authenticating with existing credentials...${name}`);
  try {
    await tryAgain(key, credentials);
    return true;
  } catch (error) {
    output.write("stderr", `Login did not succeed, error: ${formatError(error)}\n`);
    return false;
  }
}

async function complete(key: string, { username, password, passwordStdin }: LoginOptions) {
  if (passwordStdin) password = readFileSync(0, "utf8").replace(/\r?\n$/, "");
  if ((username === undefined || !password) && !canAsk()) {
    throw new UsageError("Error: Cannot perform an interactive login from a non TTY device");
  }
  const name = username ?? (await askName(key));
  if (!name) throw new UsageError("username is empty");
  const secret = password || askSecret("Password: ");
  if (!secret) throw new UsageError("password is empty");
  return { username: name, password: secret };
}

async function askName(key: string): Promise<string> {
  const credentials = await currentLogin(key);
  const usual = credentials && "username" in credentials ? credentials.username : "";
  return ask(usual ? `Username (${usual}): ` : "Username: ") || usual;
}

function report(kept: Kept): void {
  if ("file" in kept) {
    output.write(
      "stderr",
      `\nWARNING! Your credentials are stored unencrypted in '${kept.file}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n`,
    );
  }
  output.line("Login Succeeded");
}
