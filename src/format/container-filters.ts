/** `ps --filter`: Docker's filters of containers. */

import { UsageError } from "../errors.ts";
import { type Container, findContainer } from "../storage/containers.ts";
import { findImage } from "../storage/images.ts";
import { chainIds } from "../storage/layers.ts";
import { parseInteger } from "../values.ts";
import { shownStatus } from "./containers.ts";
import { type FilterTests, hasLabel, matchesPattern, parseFlagFilter } from "./filters.ts";
import { allNetworks, networkNames } from "./network-names.ts";

const statuses = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const healths = ["starting", "healthy", "unhealthy", "none"];

export const containerTests: FilterTests<Container> = {
  /** Of that image, or of one that was made from it. */
  ancestor: (value) => {
    const image = findImage(value);
    const layer = image && chainIds(image.config.rootfs.diff_ids).at(-1);
    return ({ record }) =>
      record.image.reference === value ||
      record.image.id === image?.id ||
      (layer !== undefined && record.layers.includes(layer));
  },
  before: (value) => {
    const { created } = findContainer(value).record;
    return ({ record }) => record.created < created;
  },
  exited: (value) => {
    const code = parseInteger(value);
    return ({ state }) => shownStatus(state) === "exited" && state.exitCode === code;
  },
  expose: (value) => {
    const fits = portTest("expose", value);
    return ({ record }) => record.exposedPorts.some(fits);
  },
  health: (value) => {
    checkValue("health", value, healths);
    return ({ state }) => (state.health?.status ?? "none") === value;
  },
  id:
    (value) =>
    ({ record }) =>
      matchesPattern(record.id, value),
  "is-task": (value) => {
    const wanted = parseFlagFilter("is-task", value);
    return () => !wanted; // tasks are a swarm's
  },
  label:
    (value) =>
    ({ record }) =>
      hasLabel(record.labels, value),
  name: (value) => {
    const pattern = value.replace(/^(\^?)\//, "$1");
    return ({ record }) => matchesPattern(record.name, pattern);
  },
  network: (value) => {
    const known = allNetworks().find(({ name, id }) => name === value || (value.length > 11 && id.startsWith(value)));
    return ({ record }) => networkNames(record.network).includes(known?.name ?? value);
  },
  publish: (value) => {
    const fits = portTest("publish", value);
    return ({ record }) => (record.ports ?? []).some(({ port, protocol }) => fits(`${port}/${protocol}`)); // the container's, as in Docker
  },
  since: (value) => {
    const { created } = findContainer(value).record;
    return ({ record }) => record.created > created;
  },
  status: (value) => {
    checkValue("status", value, statuses);
    return ({ state }) => shownStatus(state) === value;
  },
  volume:
    (value) =>
    ({ record }) =>
      record.mounts.some((mount) => {
        const source = mount.type === "bind" ? mount.source : mount.type === "volume" ? mount.name : undefined;
        return [source, mount.destination].includes(value);
      }),
};

function checkValue(name: string, value: string, known: string[]): void {
  if (known.includes(value)) return;
  throw new UsageError(`invalid filter '${name}=${value}'`, { hint: `the values are ${known.join(", ")}` });
}

/** Docker's `80`, `80-90` or `80/udp`: whether a port `85/tcp` is among them. */
function portTest(name: string, value: string): (port: string) => boolean {
  const [, first, last, protocol = "tcp"] = value.match(/^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/) ?? [];
  const [from, to] = [Number(first), Number(last ?? first)];
  if (!first || from > to || to > 65535) throw new UsageError(`invalid filter '${name}=${value}'`);
  return (port) => {
    const [number, kind = "tcp"] = port.split("/");
    return kind === protocol && Number(number) >= from && Number(number) <= to;
  };
}
