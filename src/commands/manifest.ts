import { writeFileSync } from "node:fs";
import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import * as lists from "../manifest-list.ts";
import { pushList } from "../manifest-push.ts";
import * as output from "../output.ts";
import { parseKeyValue } from "../values.ts";
import { forEach } from "./each.ts";

const remarkArgs = {
  annotation: {
    type: "string",
    multiple: true,
    valueHint: "key=value",
    parse: parseKeyValue,
    description: "Set an annotation of the image's entry",
  },
  arch: { type: "string", description: "Set architecture" },
  os: { type: "string", description: "Set operating system" },
  "os-features": { type: "string", multiple: true, description: "Set operating system features" },
  "os-version": { type: "string", description: "Set operating system version" },
  variant: { type: "string", description: "Set architecture variant" },
} satisfies OptionDefs;

const allArg = { type: "boolean", description: "Of an image that is a list itself add all entries" } as const;

const createArgs = {
  all: allArg,
  amend: { type: "boolean", alias: "a", description: "Amend an existing manifest list" },
  list: { type: "positional", valueHint: "MANIFEST_LIST" },
  image: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

export const create = defineCommand({
  meta: { name: "create", description: "Create a local manifest list" },
  args: createArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, createArgs);
    const name = lists.listName(operands[0]!);
    await lists.createList(name, operands.slice(1), options, output.note);
    output.line(`Created manifest list ${name}`);
  },
});

const addArgs = {
  all: allArg,
  ...remarkArgs,
  list: { type: "positional", valueHint: "MANIFEST_LIST" },
  image: { type: "positional", multiple: true },
} satisfies OptionDefs;

export const add = defineCommand({
  meta: { name: "add", description: "Add images to a manifest list" },
  args: addArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, addArgs);
    const additions = { all: options.all, remarks: toRemarks(options) };
    await lists.addToList(lists.listName(operands[0]!), operands.slice(1), additions, output.note);
  },
});

const annotateArgs = {
  ...remarkArgs,
  list: { type: "positional", valueHint: "MANIFEST_LIST" },
  image: { type: "positional", valueHint: "IMAGE|DIGEST" },
} satisfies OptionDefs;

export const annotate = defineCommand({
  meta: { name: "annotate", description: "Change what a manifest list says of an image" },
  args: annotateArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, annotateArgs);
    await lists.annotate(lists.listName(operands[0]!), operands[1]!, toRemarks(options), output.note);
  },
});

const inspectArgs = { list: { type: "positional", valueHint: "MANIFEST" } } satisfies OptionDefs;

export const inspect = defineCommand({
  meta: { name: "inspect", description: "Display a manifest list, or a registry's manifest" },
  args: inspectArgs,
  async run({ rawArgs }) {
    const { operands } = parseOptions(rawArgs, inspectArgs);
    output.line(JSON.stringify(await lists.inspectManifest(operands[0]!, output.note), undefined, "\t"));
  },
});

const pushArgs = {
  all: { type: "boolean", default: true, description: "Push the images of the list too" },
  digestfile: { type: "string", valueHint: "file", description: "Write the list's digest to the file" },
  purge: { type: "boolean", alias: ["p", "rm"], description: "Remove the local manifest list after push" },
  quiet: { type: "boolean", alias: "q", description: "Print the digest only" },
  list: { type: "positional", valueHint: "MANIFEST_LIST" },
  destination: { type: "positional", required: false },
} satisfies OptionDefs;

export const push = defineCommand({
  meta: { name: "push", description: "Push a manifest list to a registry" },
  args: pushArgs,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, pushArgs);
    const name = lists.listName(operands[0]!);
    const target = lists.listName(operands[1] ?? operands[0]!);
    const pushed = (digest: string) => {
      if (!options.quiet) output.line(`Pushed ref ${target.replace(/:[^:/]*$/, "")}@${digest} with digest: ${digest}`);
    };
    const digest = await pushList(name, { target, all: options.all, pushed, note: output.note });
    if (options.digestfile) writeFileSync(options.digestfile, digest);
    if (options.purge) lists.removeList(name);
    output.line(digest);
  },
});

const removeArgs = {
  list: { type: "positional", valueHint: "MANIFEST_LIST", multiple: true },
} satisfies OptionDefs;

export const remove = defineCommand({
  meta: { name: "rm", description: "Delete one or more local manifest lists" },
  args: removeArgs,
  async run({ rawArgs }) {
    const { operands } = parseOptions(rawArgs, removeArgs);
    await forEach(operands, false, (text) => lists.removeList(lists.listName(text)));
  },
});

function toRemarks(options: {
  annotation: [string, string][];
  arch?: string;
  os?: string;
  osFeatures: string[];
  osVersion?: string;
  variant?: string;
}): lists.Remarks {
  const { os, osVersion, variant } = options;
  return {
    os,
    osVersion,
    variant,
    architecture: options.arch,
    osFeatures: options.osFeatures.flatMap((text) => text.split(",")),
    annotations: Object.fromEntries(options.annotation),
  };
}
