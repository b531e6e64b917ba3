/** Questions on a terminal. */

import { readSync } from "node:fs";
import { CommandError } from "./errors.ts";
import { getTerminalAttributes, setTerminalAttributes, toSilent } from "./ns/sys/terminal.ts";
import { write } from "./output.ts";

/** Whether there is somebody to ask. */
export function canAsk(): boolean {
  return getTerminalAttributes(0) !== undefined;
}

/** The line that the user types, without white space around it. */
export function ask(question: string): string {
  write("stdout", question);
  return readLine().trim();
}

/** The same for a secret: nothing of it is shown. Throws CommandError with exit code 130 on ^C. */
export function askSecret(question: string): string {
  const attributes = getTerminalAttributes(0)!;
  write("stdout", question);
  setTerminalAttributes(0, toSilent(attributes));
  try {
    return readTyped();
  } finally {
    setTerminalAttributes(0, attributes);
    write("stdout", "\n");
  }
}

/** Up to the end of the line or of the input. */
function readLine(): string {
  const bytes: number[] = [];
  for (let byte = readByte(); byte !== undefined && byte !== 0x0a; byte = readByte()) bytes.push(byte);
  return Buffer.from(bytes).toString();
}

/** The same without the terminal's help: backspace, ^U, ^C and ^D are ours to carry out. */
function readTyped(): string {
  let typed = Buffer.alloc(0);
  for (let byte = readByte(); byte !== undefined; byte = readByte()) {
    if (byte === 0x0a || byte === 0x0d || byte === 0x04) break;
    if (byte === 0x03) throw new CommandError("interrupted", 130);
    if (byte === 0x15) typed = Buffer.alloc(0);
    else if (byte === 0x7f || byte === 0x08) typed = Buffer.from([...typed.toString()].slice(0, -1).join(""));
    else typed = Buffer.concat([typed, Uint8Array.of(byte)]);
  }
  return typed.toString();
}

function readByte(): number | undefined {
  const buffer = new Uint8Array(1);
  return readSync(0, buffer) === 1 ? buffer[0] : undefined;
}
