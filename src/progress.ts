/** What a pull tells while it goes on: data for the command line's bars and for the REST API's JSON lines. */

import type { Reference } from "./reference.ts";

export type LayerStatus =
  | "Pulling fs layer"
  | "Waiting"
  | "Downloading"
  | "Verifying Checksum"
  | "Download complete"
  | "Extracting"
  | "Pull complete"
  | "Already exists";

/** What a pull tells as it goes; `id` is the layer's digest in 12 hex, `bytes` are of the compressed layer. */
export type PullEvent =
  | { kind: "start"; reference: Reference; usedDefaultTag: boolean }
  | { kind: "layer"; id: string; status: LayerStatus; currentBytes?: number; totalBytes?: number }
  | { kind: "done"; digest: string; upToDate: boolean }
  | { kind: "note"; text: string };

export type PullProgress = (event: PullEvent) => void;
