import { expect, test } from "bun:test";
import { parseVolume, parseVolumesFrom } from "../../src/mounts/volume-option.ts";

test("a path is a folder of the host, a name a volume, and one word alone a volume that nobody has named", () => {
  expect(parseVolume("/a:/b")).toMatchObject({ type: "bind", source: "/a", destination: "/b", readonly: false });
  expect(parseVolume("data:/b")).toMatchObject({ type: "volume", name: "data", anonymous: false, copy: true });
  expect(parseVolume("/b")).toMatchObject({ type: "volume", name: "", anonymous: true, destination: "/b" });
});

test("relative sources belong to the current directory, and ~ is the caller's home", () => {
  expect(parseVolume("./a:/b")).toMatchObject({ source: `${process.cwd()}/a` });
  expect(parseVolume("..:/b")).toMatchObject({ source: process.cwd().replace(/\/[^/]+$/, "") });
  expect(parseVolume("~/a:/b")).toMatchObject({ source: `${process.env.HOME}/a` });
  expect(parseVolume("~:/b")).toMatchObject({ source: process.env.HOME });
});

test("destinations are cleaned of dots and slashes", () => {
  expect(parseVolume("/a/:/b/../c//").destination).toBe("/c");
  expect(parseVolume("/x/").destination).toBe("/x");
});

test("options: ro, nocopy, propagation, flags and owner", () => {
  expect(parseVolume("/a:/b:ro,rslave,z,nosuid,noexec")).toMatchObject({
    readonly: true,
    propagation: "rslave",
    flags: ["nosuid", "noexec"],
    mode: "ro,rslave,z,nosuid,noexec",
  });
  expect(parseVolume("data:/b:nocopy,U,rw")).toMatchObject({ copy: false, chown: true, readonly: false });
  expect(parseVolume("/a:/b:bind")).toMatchObject({ recursive: false });
});

const wrong: [string, string][] = [
  ["", "invalid empty volume spec"],
  ["a::b", "invalid spec: a::b: empty section between colons"],
  [":/b", "invalid spec: :/b: empty section between colons"],
  ["/a:/b:ro:rw", "invalid spec: /a:/b:ro:rw: too many colons"],
  ["/a:ro", "invalid volume specification: '/a:ro'"],
  ["/a:/b:rx", "invalid mode: rx"],
  ["/a:/b:ro,rw", "invalid mode: ro,rw"],
  ["/a:/b:ro,", "invalid mode: ro,"],
  ["name", `invalid mount config for type "volume": invalid mount path: 'name' mount path must be absolute`],
  ["/", `invalid mount config for type "volume": invalid specification: destination can't be '/'`],
  ["/a:b", `invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`],
  ["/a:/b/..", `invalid mount config for type "bind": invalid specification: destination can't be '/'`],
  ["/a:/b:nocopy", `invalid mount config for type "bind": field VolumeOptions must not be specified`],
  ["data:/b:rslave", `invalid mount config for type "volume": field BindOptions must not be specified`],
  ["/a:/b:rshared", "propagation mode rshared is not supported: a rootless container's mounts can't reach the host"],
  ["a/b:/c", `create a/b: "a/b" includes invalid characters for a local volume name`],
  ["x:/c", "volume name is too short, names should be at least two alphanumeric characters"],
];
test.each(wrong)("-v %p is refused", (text, message) => {
  expect(() => parseVolume(text)).toThrow();
  try {
    parseVolume(text);
  } catch (error) {
    const chain = [error as Error, (error as Error).cause as Error | undefined].map((each) => each?.message).join(": ");
    expect(chain).toContain(message);
  }
});

test("--volumes-from takes a mode, but none that would change what is taken", () => {
  expect(parseVolumesFrom("box")).toEqual({ container: "box", readonly: false });
  expect(parseVolumesFrom("box:ro,z")).toEqual({ container: "box", readonly: true });
  expect(() => parseVolumesFrom("")).toThrow("volumes-from specification cannot be an empty string");
  expect(() => parseVolumesFrom("box:rslave")).toThrow("invalid mode: rslave");
  expect(() => parseVolumesFrom("box:nocopy")).toThrow("invalid mode: nocopy");
});
