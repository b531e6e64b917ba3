/** Starts the command line, or a stage as a fresh program; nothing else. */

process.exitCode = await runCommand(process.argv.slice(2));

async function runCommand(argv: string[]): Promise<number> {
  if (argv.length === 1 && argv[0] === "version") return await printVersion();
  if (argv[0] === "__monitor") (await import("./waiting.ts")).becomeMonitor(Number(argv[1]));
  if (argv[0] === "__layers") return await (await import("./layer-helper.ts")).runLayerHelper(Number(argv[1]));
  if (argv[0] === "__sync") return (await import("./later.ts")).runSync();
  if (argv[0] === "__restart") (await import("./waiting.ts")).monitorAgain(argv[1]!);
  if (argv[0] === "__ports") (await import("./ports-stage.ts")).runPortsStage();
  const early = await prepare(argv);
  return await (await import("./cli.ts")).runCli(argv, early);
}

/** Before the command line is loaded, for that may start threads; a failure is told in the command's name, later. */
async function prepare(argv: string[]): Promise<{ failure?: unknown }> {
  try {
    await (await import("./prepare.ts")).prepareEarly(argv);
    return {};
  } catch (failure) {
    return { failure };
  }
}

/** Asked by scripts before they do anything else: nothing else is loaded. */
async function printVersion(): Promise<number> {
  console.log((await import("./version.ts")).versionText());
  return 0;
}

export {};
