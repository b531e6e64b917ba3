/** A process beside a command that extracts layers for it: the engine runs one process's work on one processor. */

import { config } from "./config.ts";
import { formatError, hintOf, PodError } from "./errors.ts";
import { setTitle } from "./ns/sys/fork.ts";
import { parentProcessId, setParentDeathSignal } from "./ns/sys/process.ts";
import { sweepTemporary } from "./storage/files.ts";
import { awaitLayers, extractLayer } from "./storage/layer-making.ts";
import type { LayerSource } from "./storage/layers.ts";
import { readFile } from "./storage/reading.ts";
import { paths } from "./storage/store.ts";

interface Task {
  layer: LayerSource;
  /** The blob, and what it may be called by now. */
  files: [path: string, newPath?: string];
}

/** `bytes`: so many of the blob are read. */
type Report = { kind: "bytes"; bytes: number } | { kind: "done" } | { kind: "failed"; message: string; hint?: string };

/** Started with the first layer; takes one at a time. `end` in any case. */
export class LayerHelper {
  #hasEnded = false;
  #isBusy = false;
  #child: Bun.Subprocess | undefined;
  #onReport: (report: Report) => void = () => {};
  #onEnd: () => void = () => {};

  /**
   * False where the process could not be started, or has been killed: the layer is not there. Throws PodError with what
   * the extraction failed with. Layers below may come to be meanwhile.
   */
  extract({ layer, files }: Task, onBytes: (bytes: number) => void): Promise<boolean> {
    if (this.#hasEnded) return Promise.resolve(false);
    this.#isBusy = true;
    return new Promise<boolean>((resolve, reject) => {
      this.#onReport = (report) => {
        if (report.kind === "bytes") onBytes(report.bytes);
        else if (report.kind === "done") resolve(true);
        else reject(new PodError(report.message, { hint: report.hint }));
      };
      this.#onEnd = () => resolve(false);
      try {
        this.#child ??= this.#start();
        this.#child.send({ layer, files } satisfies Task);
      } catch {
        resolve(false); // a limit of processes or memory
      }
    }).finally(() => {
      this.#isBusy = false;
    });
  }

  /** Returns when nothing of it runs any more, and nothing is left of a layer that it has not finished. */
  async end(): Promise<void> {
    const isBusy = this.#isBusy;
    this.#hasEnded = true;
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    if (isBusy) sweepTemporary();
  }

  #start(): Bun.Subprocess {
    return Bun.spawn(["/proc/self/exe", ...config.script, "__layers", String(process.pid)], {
      argv0: "pod layers",
      cwd: paths.root,
      env: config.stageEnvironment(),
      stdio: ["ignore", "ignore", "ignore"],
      ipc: (report) => this.#onReport(report as Report),
      onExit: () => this.#onEnd(),
    });
  }
}

/** The stage: main.ts calls it with its parent's pid. It ends with its parent. */
export function runLayerHelper(parent: number): Promise<never> {
  setTitle("pod layers");
  setParentDeathSignal(9);
  if (parentProcessId() !== parent) process.exit(1); // it ended before the signal was asked for
  process.on("message", async (task: Task) => report(await resultOf(task)));
  return new Promise(() => {});
}

async function resultOf({ layer, files }: Task): Promise<Report> {
  const source = async function* () {
    let bytes = 0;
    for await (const chunk of readFile(...files)) {
      bytes += chunk.length;
      report({ kind: "bytes", bytes });
      yield chunk;
    }
  };
  try {
    await extractLayer(source(), layer, () => awaitLayers(layer.parents));
    return { kind: "done" };
  } catch (error) {
    return { kind: "failed", message: formatError(error), hint: hintOf(error) };
  }
}

function report(report: Report): void {
  process.send!(report);
}
