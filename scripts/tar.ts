/** Writes small ustar archives (POSIX.1-1988) with fixed owners and times, so that the same input gives the same bytes. */

export interface TarEntry {
  /** Relative, below 100 bytes; a directory's ends with a slash. */
  name: string;
  mode: number;
  content?: Uint8Array;
  /** Makes the entry a symbolic link. */
  target?: string;
}

/** `modified` in seconds since 1970 goes for every entry; everything belongs to root. */
export function tar(entries: TarEntry[], modified: number): Uint8Array {
  const blocks = entries.flatMap((entry) => {
    const content = entry.content ?? new Uint8Array();
    return [header(entry, content.length, modified), content, new Uint8Array(-content.length & 511)];
  });
  return Buffer.concat([...blocks, new Uint8Array(1024)]);
}

function header(entry: TarEntry, sizeBytes: number, modified: number): Uint8Array {
  if (Buffer.byteLength(entry.name) > 99) throw new Error(`${entry.name}: name too long for this archive`);
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at);
  block.write(entry.name, 0);
  octal(entry.mode, 100, 8);
  octal(0, 108, 8); // uid
  octal(0, 116, 8); // gid
  octal(sizeBytes, 124, 12);
  octal(modified, 136, 12);
  block.fill(" ", 148, 156); // the checksum counts its own field as spaces
  block.write(entry.target ? "2" : entry.name.endsWith("/") ? "5" : "0", 156);
  block.write(entry.target ?? "", 157);
  block.write("ustar\x0000", 257);
  block.write("root", 265);
  block.write("root", 297);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
