/** A push as the user sees it: Docker's texts of `docker push`, on stdout. */

import { layerDisplay } from "./layer-output.ts";
import { line } from "./output.ts";
import type { PushProgress } from "./progress.ts";
import { formatReference } from "./reference.ts";

/** With `quiet` only notes. */
export function pushProgress(quiet: boolean): PushProgress {
  const show = layerDisplay("stdout");
  return (event) => {
    if (event.kind === "note") show.note(event.text);
    else if (quiet) return;
    else if (event.kind === "layer") show.layer(event);
    else if (event.kind === "done") {
      line(`${event.reference.tag}: digest: ${event.digest} size: ${event.sizeBytes}`);
    } else {
      const { domain, path } = event.reference;
      if (event.usedDefaultTag) line("Using default tag: latest");
      line(`The push refers to repository [${formatReference({ domain, path })}]`);
    }
  };
}
