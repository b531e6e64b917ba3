/** What a pull or a push tells while it goes on: data for the command line's bars and for the REST API's JSON lines. */

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
  | LayerEvent<LayerStatus>
  | { kind: "done"; digest: string; upToDate: boolean }
  | { kind: "note"; text: string };

export type PullProgress = (event: PullEvent) => void;

export type UploadStatus =
  | "Preparing"
  | "Waiting"
  | "Pushing"
  | "Pushed"
  | "Layer already exists"
  | "Skipped foreign layer"
  | `Mounted from ${string}`;

/** What a push tells as it goes; `id` is the layer's diffId in 12 hex, as with Docker. `done` comes for each tag. */
export type PushEvent =
  | { kind: "start"; reference: Reference; usedDefaultTag: boolean }
  | LayerEvent<UploadStatus>
  | { kind: "done"; reference: Reference; digest: string; sizeBytes: number }
  | { kind: "note"; text: string };

export type PushProgress = (event: PushEvent) => void;

export interface LayerEvent<Status extends string = string> {
  kind: "layer";
  id: string;
  status: Status;
  currentBytes?: number;
  totalBytes?: number;
}
