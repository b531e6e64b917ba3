/** A program on a pseudo-terminal, driven like by a person: type, wait for text, resize. */

import { constants } from "node:os";

export interface Session {
  readonly process: Bun.Subprocess;
  /** The terminal, for its flags and size. */
  readonly terminal: Bun.Terminal;
  /** All that came so far, control characters included. */
  output(): string;
  /** Enter is `\r`, Ctrl-C `\x03`. */
  type(text: string): void;
  /** Waits for text after what was waited for before; what came up to its end. Fails after ten seconds unless told. */
  waitFor(text: string | RegExp, timeoutSeconds?: number): Promise<string>;
  resize(columns: number, rows: number): void;
  /** The exit code, when all output has come. */
  exit(timeoutSeconds?: number): Promise<number>;
  /** Kills the program if it runs still. */
  close(): Promise<void>;
}

export function openSession(command: string[], env: Record<string, string>, cwd: string): Session {
  let output = "";
  let seen = 0;
  const decoder = new TextDecoder();
  const terminal = new Bun.Terminal({
    cols: 80,
    rows: 24,
    data: (_, bytes) => {
      output += decoder.decode(bytes, { stream: true });
    },
  });
  // Bun's terminal does not become the controlling one, without which nobody is told of a resize or of Ctrl-C.
  const child = Bun.spawn(["setsid", "--ctty", "--wait", ...command], { terminal, env, cwd });

  async function until<T>(what: string, timeoutSeconds: number, poll: () => T | undefined): Promise<T> {
    const deadline = performance.now() + timeoutSeconds * 1000;
    for (;;) {
      const value = poll();
      if (value !== undefined) return value;
      if (performance.now() > deadline) {
        throw new Error(
          `${command.slice(1).join(" ")}: no ${what} after ${timeoutSeconds} s; the output was:\n${output}`,
        );
      }
      await Bun.sleep(10);
    }
  }

  return {
    process: child,
    terminal,
    output: () => output,
    type: (text) => terminal.write(text),
    waitFor: (text, timeoutSeconds = 10) =>
      until(String(text), timeoutSeconds, () => {
        const rest = output.slice(seen);
        const match = typeof text === "string" ? { 0: text, index: rest.indexOf(text) } : text.exec(rest);
        if (!match || match.index < 0) return undefined;
        const end = match.index + match[0].length;
        seen += end;
        return rest.slice(0, end);
      }),
    resize: (columns, rows) => terminal.resize(columns, rows),
    exit: async (timeoutSeconds = 10) => {
      const code = await until("end", timeoutSeconds, () => exitCode(child));
      await Bun.sleep(50); // the last bytes come from the terminal after the process's end
      return code;
    },
    close: async () => {
      child.kill("SIGKILL");
      await child.exited;
      terminal.close();
    },
  };
}

/** As a shell sees it: 128+n where signal n ended the program; undefined while it runs. */
export function exitCode(child: Bun.Subprocess): number | undefined {
  if (child.signalCode) return 128 + constants.signals[child.signalCode as NodeJS.Signals];
  return child.exitCode ?? undefined;
}
