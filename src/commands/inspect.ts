import { defineCommand } from "citty";
import { type OptionDefs, type Options, parseOptions } from "../args.ts";
import { sizesOf } from "../container-sizes.ts";
import { NotFoundError, UsageError } from "../errors.ts";
import { inspectImage } from "../format/images.ts";
import { inspectContainer } from "../format/inspect-container.ts";
import { inspectVolume } from "../format/volumes.ts";
import * as output from "../output.ts";
import { findContainer } from "../storage/containers.ts";
import { findImage } from "../storage/images.ts";
import { readVolume } from "../storage/volumes.ts";
import { inspectFormat } from "./list-options.ts";

type Kind = "container" | "image" | "volume";
const kinds: Kind[] = ["container", "image", "volume"];

const format = { format: inspectFormat };
const size = {
  size: { type: "boolean", alias: "s", description: "Display total file sizes if the type is container" },
} satisfies OptionDefs;
const args = {
  ...format,
  ...size,
  type: { type: "string", description: "Only inspect objects of the given type: container, image or volume" },
  name: { type: "positional", multiple: true, valueHint: "NAME|ID" },
} satisfies OptionDefs;

export default defineCommand({
  meta: { name: "inspect", description: "Return low-level information on pod objects" },
  args,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    const type = kinds.find((kind) => kind === options.type);
    if (options.type !== undefined && !type) {
      throw new UsageError(`${JSON.stringify(options.type)} is not a valid value for --type`, {
        hint: `use ${kinds.join(", ")}`,
      });
    }
    return inspect(operands, type ? [type] : kinds, options);
  },
});

const containerArgs = { ...format, ...size, container: { type: "positional", multiple: true } } satisfies OptionDefs;
export const containerInspect = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more containers" },
  args: containerArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, containerArgs);
    return inspect(operands, ["container"], options);
  },
});

const imageArgs = { ...format, image: { type: "positional", multiple: true } } satisfies OptionDefs;
export const imageInspect = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more images" },
  args: imageArgs,
  run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, imageArgs);
    return inspect(operands, ["image"], options);
  },
});

/** Prints what is found; what is not is told in Docker's words, after it. */
function inspect(names: string[], kinds: Kind[], options: Options<typeof format> & { size?: boolean }): number {
  const found = names.map((name) => find(name, kinds, options.size ?? false));
  printObjects(
    found.filter((object) => object !== undefined),
    options.format,
  );
  const kind = kinds.length === 1 ? kinds[0] : "object";
  const missing = names.filter((_, index) => !found[index]);
  for (const name of missing) output.write("stderr", `error: no such ${kind}: ${name}\n`);
  return missing.length ? 1 : 0;
}

/** With `json` one array on one line; a template that printed nothing leaves an empty line. */
export function printObjects(objects: object[], format: string | undefined): void {
  if (format === undefined) output.line(JSON.stringify(objects, null, 4));
  else if (format === "json") output.line(JSON.stringify(objects));
  else output.line(objects.map((object) => output.formatObject(object, format, "object")).join("\n"));
}

function find(name: string, kinds: Kind[], withSizes: boolean): object | undefined {
  for (const kind of kinds) {
    const object =
      kind === "container"
        ? inspectedContainer(name, withSizes)
        : kind === "image"
          ? inspectedImage(name)
          : inspectedVolume(name);
    if (object) return object;
  }
  return undefined;
}

function inspectedContainer(name: string, withSizes: boolean): object | undefined {
  try {
    const container = findContainer(name);
    return inspectContainer(container, withSizes ? sizesOf([container]).get(container.record.id) : undefined);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** A name that is no image's name at all belongs to nothing: the text for that is the caller's. */
function inspectedImage(name: string): object | undefined {
  try {
    const image = findImage(name);
    return image && inspectImage(image);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

function inspectedVolume(name: string): object | undefined {
  const volume = readVolume(name);
  return volume && inspectVolume(volume);
}
