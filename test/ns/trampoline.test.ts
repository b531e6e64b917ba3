import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { elf, ownArchitecture } from "../../src/ns/elf.ts";
import { trampoline } from "../../src/ns/trampoline.ts";

/** Runs it with argv and, as init does, with the descriptor 3 that takes the errno: here a file. */
function run(argv: string[]): { stdout: string; code: number; answer: Buffer } {
  const dir = mkdtempSync(join(tmpdir(), "trampoline"));
  try {
    const [file, answerFile] = [join(dir, "trampoline"), join(dir, "answer")];
    writeFileSync(file, elf(ownArchitecture, trampoline[ownArchitecture]), { mode: 0o755 });
    const script = 'exec -a "$0" "$TRAMPOLINE" "$@" 3>"$ANSWER"';
    const { stdout, exitCode } = Bun.spawnSync(["bash", "-c", script, ...argv], {
      env: { TRAMPOLINE: file, ANSWER: answerFile, WORD: "kept" },
    });
    return { stdout: stdout.toString(), code: exitCode, answer: readFileSync(answerFile) };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test("the trampoline becomes the program, with its arguments and environment, and closes the channel", () => {
  const script = 'echo "$0,$1,$WORD"; test ! -e /proc/self/fd/3';
  expect(run(["/bin/sh", "sh", "-c", script, "a b", ""])).toEqual({
    stdout: "a b,,kept\n",
    code: 0,
    answer: Buffer.alloc(0),
  });
});

test.each([
  ["/nowhere", 2],
  ["/etc", 13],
  ["/etc/passwd", 13],
])("where %s can't be executed, errno %i goes over the channel", (path, errno) => {
  const answer = Buffer.alloc(4);
  answer.writeInt32LE(errno);
  expect(run([path, "x"])).toEqual({ stdout: "", code: 127, answer });
});
