/** A pull as the user sees it: bars on a terminal, one line for each change elsewhere. */

import { formatSize } from "./format/units.ts";

import { isTerminal, note, type Stream, write } from "./output.ts";
import type { PullEvent, PullProgress } from "./progress.ts";
import { familiarName, formatReference, type Reference, withDefaultTag } from "./reference.ts";

type Layer = Extract<PullEvent, { kind: "layer" }>;

/** Docker's texts of `docker pull`, on stdout; with `quiet` only the full name at the end. */
export function pullProgress(quiet: boolean): PullProgress {
  const show = renderer("stdout", quiet);
  let name = "";
  return (event) => {
    if (event.kind === "start") {
      name = formatReference(withDefaultTag(event.reference));
      if (event.usedDefaultTag && !quiet) write("stdout", "Using default tag: latest\n");
    }
    show(event);
    if (event.kind === "done") write("stdout", `${name}\n`);
  };
}

/** A pull that `docker run` starts: all on stderr, so that stdout is the container's alone. `isMissing`: that is why it pulls. */
export function runProgress({ quiet, isMissing }: { quiet: boolean; isMissing: boolean }): PullProgress {
  const show = renderer("stderr", quiet);
  return (event) => {
    if (event.kind === "start" && isMissing && !quiet) {
      write("stderr", `Unable to find image '${familiarName(withDefaultTag(event.reference))}' locally\n`);
    }
    show(event);
  };
}

/** With `quiet` notes are all that is shown. */
function renderer(stream: Stream, quiet: boolean): PullProgress {
  const show = isTerminal(stream) ? bars(stream) : plainLines(stream);
  let reference: Reference | undefined;
  return (event) => {
    if (event.kind === "note") show.note(event.text);
    else if (quiet) return;
    else if (event.kind === "layer") show.layer(event);
    else if (event.kind === "start") {
      reference = withDefaultTag(event.reference);
      write(stream, `${reference.digest ?? reference.tag}: Pulling from ${reference.path}\n`);
    } else {
      write(stream, `Digest: ${event.digest}\n${statusLine(familiarName(reference!), event.upToDate)}\n`);
    }
  };
}

interface Display {
  layer(layer: Layer): void;
  note(text: string): void;
}

function statusLine(name: string, upToDate: boolean): string {
  return upToDate ? `Status: Image is up to date for ${name}` : `Status: Downloaded newer image for ${name}`;
}

/** Each state once; how far a download is is left out, as Docker does where there is no terminal. */
function plainLines(stream: Stream): Display {
  const states = new Map<string, string>();
  return {
    note,
    layer({ id, status }) {
      const isMeasured = status === "Downloading" || status === "Extracting";
      if (isMeasured || states.get(id) === status) return;
      states.set(id, status);
      write(stream, `${id}: ${status}\n`);
    },
  };
}

/** One line for each layer, rewritten in place; lines that have left the screen at the top stay as they are. */
function bars(stream: Stream): Display {
  const rows = new Map<string, number>();
  const shown = new Map<string, string>();
  let height = 0;
  return {
    note(text) {
      note(text);
      height++;
    },
    layer(layer) {
      const text = layerLine(layer, process[stream].columns || 80);
      if (shown.get(layer.id) === text) return;
      shown.set(layer.id, text);
      const row = rows.get(layer.id);
      if (row === undefined) {
        rows.set(layer.id, height++);
        write(stream, `${text}\n`);
        return;
      }
      const up = height - row;
      if (up < (process[stream].rows || 24)) write(stream, `\x1b[${up}A\r\x1b[2K${text}\x1b[${up}B\r`);
    },
  };
}

/** `e756f3fdd6a3: Downloading [=====>     ]  1.5MB/9MB`, no wider than the terminal. */
export function layerLine({ id, status, currentBytes, totalBytes }: Omit<Layer, "kind">, columns: number): string {
  const head = `${id}: ${status}`;
  if (currentBytes === undefined) return head.slice(0, columns - 1);
  const counts = `${formatSize(currentBytes, 4).padStart(8)}${totalBytes ? `/${formatSize(totalBytes, 4)}` : ""}`;
  const cells = Math.min(50, columns - head.length - counts.length - 6);
  if (!totalBytes || cells < 5) return `${head} ${counts.trim()}`.slice(0, columns - 1);
  const done = Math.min(cells, Math.floor((currentBytes / totalBytes) * cells));
  return `${head} [${"=".repeat(done)}>${" ".repeat(cells - done)}] ${counts}`;
}
