/** Small files of an image, as its layers show them together. */

import { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_IFMT, S_IFREG } from "../ns/constants.ts";
import { findAtBytes } from "../ns/sys/bytes.ts";
import { close, readDescriptor } from "../ns/sys/file.ts";
import type { Image } from "./images.ts";
import { chainIds, layerDir } from "./layers.ts";
import { LowerLayers } from "./lower.ts";

const maximumBytes = 16 << 20;

/** The text; empty where there is no such file, or a symlink. */
export function readInImage({ config }: Image, path: string): string {
  const layers = new LowerLayers(chainIds(config.rootfs.diff_ids).map(layerDir).toReversed());
  try {
    return layers.lookup(path.split("/"), (file) => {
      if (!file || (file.status.mode & S_IFMT) !== S_IFREG || file.status.size > maximumBytes) return "";
      const fd = findAtBytes(file.dirFd, file.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      if (fd === undefined) return "";
      try {
        return readDescriptor(fd).toString();
      } finally {
        close(fd);
      }
    });
  } finally {
    layers.close();
  }
}
