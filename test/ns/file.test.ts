import { expect, test } from "bun:test";
import { O_RDONLY } from "../../src/ns/constants.ts";
import { close, open, readDescriptor } from "../../src/ns/sys/file.ts";

test("no more than the maximum is read, however much there is", () => {
  const fd = open("/dev/zero", O_RDONLY);
  expect(readDescriptor(fd, "/dev/zero", 100_000).length).toBe(100_000);
  close(fd);
});
