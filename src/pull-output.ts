/** A pull as the user sees it. */

import { layerDisplay } from "./layer-output.ts";
import { line, type Stream, write } from "./output.ts";
import type { PullProgress } from "./progress.ts";
import { familiarName, formatReference, parseReference, type Reference, withDefaultTag } from "./reference.ts";

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

/** Docker's texts of `docker pull --all-tags`: each tag's layers and digest, and once at the end what came of it. Call `end` then. */
export function pullAllProgress(name: string, quiet: boolean): { progress: PullProgress; end(): void } {
  const show = layerDisplay("stdout");
  const reference = parseReference(name);
  let upToDate = true;
  return {
    progress(event) {
      if (event.kind === "note") show.note(event.text);
      else if (event.kind === "done") upToDate &&= event.upToDate;
      if (quiet) return;
      if (event.kind === "layer") show.layer(event);
      else if (event.kind === "start") line(`${event.reference.tag}: Pulling from ${event.reference.path}`);
      else if (event.kind === "done") line(`Digest: ${event.digest}`);
    },
    end() {
      if (!quiet) line(statusLine(familiarName(reference), upToDate));
      line(formatReference(reference));
    },
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
  const show = layerDisplay(stream);
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

function statusLine(name: string, upToDate: boolean): string {
  return upToDate ? `Status: Image is up to date for ${name}` : `Status: Downloaded newer image for ${name}`;
}
