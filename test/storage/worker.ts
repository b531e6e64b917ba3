/** One job in a process of its own, as JSON on the command line; the store is that of XDG_DATA_HOME. */

import { createReadStream, mkdirSync, writeSync } from "node:fs";
import { formatError, hintOf } from "../../src/errors.ts";
import { mount } from "../../src/ns/sys/namespace.ts";
import { openPartialBlob } from "../../src/storage/blobs.ts";
import { removeTree } from "../../src/storage/files.ts";
import { extractLayer } from "../../src/storage/layer-making.ts";
import { holdLease } from "../../src/storage/leases.ts";
import { openStore, paths } from "../../src/storage/store.ts";

const job = JSON.parse(process.argv[2]!);
const say = (text: string) => writeSync(1, `${text}\n`);

/** Pieces with pauses, so that the process can be killed or met in the middle. */
async function* slowly(path: string, pauseMs: number) {
  for await (const chunk of createReadStream(path, { highWaterMark: 65536 })) {
    yield chunk as Buffer;
    say("chunk");
    await Bun.sleep(pauseMs);
  }
}

try {
  if (job.tmpfs) mount("none", job.tmpfs, "tmpfs", 0, `size=${job.sizeBytes}`);
  openStore();
  if (job.kind === "extract") {
    const { path, diffId } = job;
    await extractLayer(slowly(path, job.pauseMs), { diffId, chainId: diffId, parents: [], blob: diffId });
  } else if (job.kind === "download") {
    const partial = await openPartialBlob(job.descriptor);
    if (partial) {
      say(`from ${partial.offset}`);
      partial.write(Buffer.from(job.text).subarray(partial.offset, partial.offset + job.bytes));
      if (job.waits) await Bun.sleep(60_000);
      else await partial.finish();
    } else say("there");
  } else if (job.kind === "lease") {
    holdLease(job.names);
    say("held");
    await Bun.sleep(60_000);
  } else if (job.kind === "mounted") {
    mkdirSync(job.target, { recursive: true });
    mount("none", job.target, "tmpfs", 0, "");
    await Bun.write(`${job.target}/precious`, "x");
    removeTree(job.path);
  }
  say(`done ${paths.root}`);
} catch (error) {
  say(`error ${formatError(error)}; ${hintOf(error) ?? ""}`);
}
