/** What containers take on disk: for `ps --size` and `inspect --size`. */

import { enterUserNamespace } from "./ns/userns.ts";
import { writableBytes } from "./storage/container-files.ts";
import type { Container } from "./storage/containers.ts";
import { readLayer } from "./storage/layers.ts";

export interface ContainerSizes {
  /** Allocated below its writable layer. */
  writableBytes: number;
  /** That, and all files of its image. */
  totalBytes: number;
}

/** By id. Enters the user's namespace, since the files have many owners: the command may begin anew with this. */
export function sizesOf(containers: Container[]): Map<string, ContainerSizes> {
  enterUserNamespace();
  return new Map(
    containers.map(({ record }) => {
      const writable = writableBytes(record);
      const layers = record.layers.reduce((sum, chainId) => sum + (readLayer(chainId)?.sizeBytes ?? 0), 0);
      return [record.id, { writableBytes: writable, totalBytes: layers + writable }];
    }),
  );
}
