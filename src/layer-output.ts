/** Layers on their way, as the user sees them: bars on a terminal, one line for each change elsewhere. */

import { formatSize } from "./format/units.ts";
import { isTerminal, note, type Stream, write } from "./output.ts";
import type { LayerEvent } from "./progress.ts";

export interface LayerDisplay {
  layer(layer: LayerEvent): void;
  note(text: string): void;
}

export function layerDisplay(stream: Stream): LayerDisplay {
  return isTerminal(stream) ? bars(stream) : plainLines(stream);
}

const measured = ["Downloading", "Extracting", "Pushing"];

/** Each state once; how far a layer is is left out, as Docker does where there is no terminal. */
function plainLines(stream: Stream): LayerDisplay {
  const states = new Map<string, string>();
  return {
    note,
    layer({ id, status }) {
      if (measured.includes(status) || states.get(id) === status) return;
      states.set(id, status);
      write(stream, `${id}: ${status}\n`);
    },
  };
}

/** One line for each layer, rewritten in place; lines that have left the screen at the top stay as they are. */
function bars(stream: Stream): LayerDisplay {
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
export function layerLine({ id, status, currentBytes, totalBytes }: Omit<LayerEvent, "kind">, columns: number): string {
  const head = `${id}: ${status}`;
  if (currentBytes === undefined) return head.slice(0, columns - 1);
  const counts = `${formatSize(currentBytes, 4).padStart(8)}${totalBytes ? `/${formatSize(totalBytes, 4)}` : ""}`;
  const cells = Math.min(50, columns - head.length - counts.length - 6);
  if (!totalBytes || cells < 5) return `${head} ${counts.trim()}`.slice(0, columns - 1);
  const done = Math.min(cells, Math.floor((currentBytes / totalBytes) * cells));
  return `${head} [${"=".repeat(done)}>${" ".repeat(cells - done)}] ${counts}`;
}
