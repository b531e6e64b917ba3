import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Architecture, elf } from "../../src/ns/elf.ts";
import { reaper } from "../../src/ns/reaper.ts";
import { trampoline } from "../../src/ns/trampoline.ts";

const headerBytes = 176;
const tools = {
  x64: { prefix: "x86_64-linux-gnu", dialect: ".intel_syntax noprefix", machine: 62 /* EM_X86_64 */ },
  arm64: { prefix: "aarch64-linux-gnu", dialect: "", machine: 183 /* EM_AARCH64 */ },
};

/** What binutils make of the instructions that stand beside the bytes. */
function assemble(architecture: Architecture, listing: string): Buffer {
  const { prefix, dialect } = tools[architecture];
  const source = `${dialect}\n${listing.replace(/^ +[0-9a-f]+ /gm, "")}\n`;
  const dir = mkdtempSync(join(tmpdir(), "elf"));
  const run = (program: string, ...args: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync([`${prefix}-${program}`, ...args], {
      cwd: dir,
      stdin: Buffer.from(source),
    });
    if (exitCode !== 0) throw new Error(`${program}: ${stderr}`);
  };
  try {
    run("as", "-o", "object", "-");
    run("objcopy", "-O", "binary", "-j", ".text", "object", "code");
    return readFileSync(join(dir, "code"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

for (const architecture of ["x64", "arm64"] as const) {
  for (const [name, listing] of Object.entries({
    trampoline: trampoline[architecture],
    reaper: reaper(architecture, 0x12345678),
  })) {
    test(`the ${name}'s bytes for ${architecture} are what an assembler makes of the instructions beside them`, () => {
      const file = elf(architecture, listing);
      expect(file.readUInt16LE(18)).toBe(tools[architecture].machine);
      expect(file.subarray(headerBytes).toString("hex")).toBe(assemble(architecture, listing).toString("hex"));
    });
  }
}
