/**
 * Compiles to a single executable, which starts the first entry; the others can be loaded at any time, synchronously. The flags keep the program single-threaded until it has entered its user namespace
 * (docs/architecture.md), and keep files of the current directory (bunfig.toml, .env) without influence on it.
 */
export function compile(entries: string[], outfile: string, extra: string[] = []): void {
  const flags = ["--compile", "--splitting", "--minify", "--bytecode", "--format=esm", "--compile-jit-policy", "1000"];
  const isolation = ["--no-compile-autoload-bunfig", "--no-compile-autoload-dotenv"];
  run([process.execPath, "build", ...entries, ...flags, ...isolation, ...extra, "--outfile", outfile]);
}

/** Runs a program; its output shows only where it fails. */
export function run(command: string[], cwd?: string): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd, stderr: "pipe", stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`.trim());
}
