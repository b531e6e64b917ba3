import { readFileSync } from "node:fs";
import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { config } from "../config.ts";
import { hasCode, NotFoundError, PodError } from "../errors.ts";
import { applyFilters } from "../format/filters.ts";
import { inspectSecret, secretListStyle, secretRow, secretTests } from "../format/secrets.ts";
import * as output from "../output.ts";
import { deleteSecret, findSecret, listSecrets, putSecret, type SecretRecord } from "../storage/secrets.ts";
import { parseKeyValue } from "../values.ts";
import { forEach } from "./each.ts";
import { printObjects } from "./inspect.ts";
import { inspectFormat, listOptions } from "./list-options.ts";

const createArgs = {
  env: { type: "boolean", description: "Read the secret from an environment variable" },
  label: { type: "string", alias: "l", multiple: true, description: "Set metadata for a secret" },
  replace: { type: "boolean", description: "If a secret with the same name exists, replace it" },
  secret: { type: "positional" },
  source: { type: "positional", valueHint: "file|-" },
} satisfies OptionDefs;

export const create = defineCommand({
  meta: { name: "create", description: "Create a secret from a file or STDIN" },
  args: createArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, createArgs);
    const [name, source] = operands as [string, string];
    const labels = Object.fromEntries(options.label.map(parseKeyValue));
    const data = options.env ? readVariable(source) : readSource(source);
    output.line(putSecret(name, data, { labels, replace: options.replace }).id);
  },
});

function readSource(source: string): Uint8Array {
  try {
    return readFileSync(source === "-" ? 0 : source);
  } catch (cause) {
    if (hasCode(cause, "EAGAIN")) return Buffer.alloc(0);
    throw new PodError(`read the secret from ${source}`, { cause });
  }
}

function readVariable(name: string): Uint8Array {
  const value = config.variable(name);
  if (value === undefined)
    throw new NotFoundError(`cannot create store secret data: environment variable ${name} is not set`);
  return Buffer.from(value);
}

const listArgs = listOptions(Object.keys(secretTests), "secret IDs");

export const list = defineCommand({
  meta: { name: "ls", description: "List secrets" },
  args: listArgs,
  run({ rawArgs }) {
    const { options } = parseOptions(rawArgs, listArgs);
    const secrets = applyFilters(listSecrets(), options.filter, secretTests);
    if (options.quiet) output.write("stdout", secrets.map(({ id }) => `${id}\n`).join(""));
    else output.list(secrets.map(secretRow), secretListStyle, options.format);
  },
});

const inspectArgs = {
  format: inspectFormat,
  showsecret: { type: "boolean", description: "Display the secret" },
  secret: { type: "positional", multiple: true },
} satisfies OptionDefs;

export const inspect = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more secrets" },
  args: inspectArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, inspectArgs);
    const found: SecretRecord[] = [];
    const errors: unknown[] = [];
    for (const name of operands) {
      try {
        found.push(findSecret(name));
      } catch (error) {
        errors.push(error);
      }
    }
    printObjects(
      found.map((secret) => inspectSecret(secret, options.showsecret)),
      options.format,
    );
    if (errors.length) throw new AggregateError(errors);
  },
});

const removeArgs = {
  all: { type: "boolean", alias: "a", description: "Remove all secrets" },
  ignore: { type: "boolean", alias: "i", description: "Do not fail where a secret does not exist" },
  secret: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

export const remove = defineCommand({
  meta: { name: "rm", description: "Remove one or more secrets" },
  args: removeArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, removeArgs);
    if (!options.all && operands.length === 0) throw new PodError("specify at least one secret name or --all");
    const names = options.all ? listSecrets().map(({ name }) => name) : operands;
    await forEach(names, options.ignore, (name) => {
      const secret = findSecret(name);
      deleteSecret(secret);
      output.line(secret.id);
    });
  },
});

const existsArgs = { secret: { type: "positional" } } satisfies OptionDefs;

export const exists = defineCommand({
  meta: { name: "exists", description: "Check if a secret exists: exit code 0 if so, else 1" },
  args: existsArgs,
  run({ rawArgs }) {
    try {
      findSecret(parseOptions(rawArgs, existsArgs).operands[0]!);
      return 0;
    } catch (error) {
      if (error instanceof NotFoundError) return 1;
      throw error;
    }
  },
});
