/** Runs a test's body in a process whose store is below `home`: config.ts reads the environment once per process. */

import { join } from "node:path";

export async function load() {
  const blobs = await import("../../src/storage/blobs.ts");
  const images = await import("../../src/storage/images.ts");

  /** Puts an image whose config and one layer blob tell it from others by `word`. */
  function putImage(word: string, reference?: string) {
    const json = (value: object) => Buffer.from(JSON.stringify(value));
    const layer = blobs.putBlob(Buffer.from(`layer ${word}`));
    const rootfs = { type: "layers", diff_ids: [layer] };
    const config = blobs.putBlob(json({ os: "linux", architecture: "amd64", created: `2024-${word}`, rootfs }));
    const layers = [{ mediaType: "l", digest: layer, size: 6 + word.length }];
    const manifest = json({ schemaVersion: 2, config: { mediaType: "c", digest: config, size: 1 }, layers });
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    return images.putImage(
      { mediaType, digest: blobs.putBlob(manifest), size: manifest.length },
      ...(reference ? [reference] : []),
    );
  }

  return {
    putImage,
    blobs,
    images,
    fs: await import("node:fs"),
    store: await import("../../src/storage/store.ts"),
    files: await import("../../src/storage/files.ts"),
    layers: await import("../../src/storage/layers.ts"),
    logs: await import("../../src/storage/log-writer.ts"),
    errors: await import("../../src/errors.ts"),
  };
}

/** `body` sees nothing but its arguments, and gives back what JSON can carry; what it throws is thrown here. */
export async function inStore<T, A>(
  home: string,
  body: (modules: Awaited<ReturnType<typeof load>>, argument: A) => T | Promise<T>,
  argument?: A,
  dataHome = home,
): Promise<T> {
  const program = `
    import { load } from ${JSON.stringify(import.meta.path)};
    const modules = await load();
    try {
      const value = await (${body.toString()})(modules, ${JSON.stringify(argument ?? null)});
      process.stdout.write(JSON.stringify({ value }));
    } catch (error) {
      process.stdout.write(JSON.stringify({ error: modules.errors.formatError(error) }));
    }`;
  const script = join(home, `${crypto.randomUUID()}.ts`);
  await Bun.write(script, program);
  const child = Bun.spawn([process.execPath, script], {
    env: { ...process.env, XDG_DATA_HOME: dataHome },
    stdout: "pipe",
    stderr: "inherit",
  });
  const result = JSON.parse(await child.stdout.text());
  if ("error" in result) throw new Error(result.error);
  return result.value;
}
