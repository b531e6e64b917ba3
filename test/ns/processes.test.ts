import { expect, test } from "bun:test";
import { isStill } from "../../src/ns/processes.ts";

test("a process stands still while it is stopped, as a zombie, and once it is gone", async () => {
  await using sleeper = Bun.spawn(["sleep", "60"]);
  expect(isStill(sleeper.pid)).toBe(false);
  sleeper.kill("SIGSTOP");
  await until(() => isStill(sleeper.pid));
  sleeper.kill("SIGCONT");
  await until(() => !isStill(sleeper.pid));
  sleeper.kill("SIGKILL");
  await sleeper.exited;
  expect(isStill(sleeper.pid)).toBe(true);

  // The shell becomes a program that never waits for the child it has.
  await using parent = Bun.spawn(["sh", "-c", "sleep 0 & echo $!; exec sleep 60"], { stdout: "pipe" });
  const { value } = await parent.stdout.getReader().read();
  await until(() => isStill(Number(Buffer.from(value ?? []).toString())));
});

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 5000; !holds(); await Bun.sleep(5)) {
    if (performance.now() > deadline) throw new Error("it did not come to hold in 5 s");
  }
}
