import { expect, test } from "bun:test";
import { parseDevice } from "../../src/mounts/device-option.ts";
import { parseMount } from "../../src/mounts/mount-option.ts";
import { inheritMounts, type MountWishes, planMounts } from "../../src/mounts/plan.ts";
import { parseSecret } from "../../src/mounts/secret-option.ts";
import { parseTmpfs } from "../../src/mounts/tmpfs-option.ts";
import { parseVolume } from "../../src/mounts/volume-option.ts";

const plan = (wishes: Partial<MountWishes>) =>
  planMounts({ mounts: [], tmpfs: [], inherited: [], imageVolumes: [], readOnlyTmpfs: false, ...wishes }, () => "new");
const places = (wishes: Partial<MountWishes>) =>
  plan(wishes).map(({ destination, origin }) => `${origin} ${destination}`);

test("what is asked for comes before what another container has, and that before the image's VOLUME", () => {
  const inherited = inheritMounts([parseVolume("/a:/one"), parseVolume("data:/two")], { readonly: true });
  expect(
    places({ mounts: [parseVolume("/x:/one")], inherited, imageVolumes: ["/two/", "/three"], readOnlyTmpfs: true }),
  ).toEqual([
    "volume /one",
    "volumes-from /two",
    "image /three",
    "read-only /run",
    "read-only /tmp",
    "read-only /var/tmp",
  ]);
  expect(plan({ inherited })[1]).toMatchObject({ name: "data", readonly: true });
});

test("two mounts on one place are an error, also of different options; of two --tmpfs the last counts", () => {
  const duplicate = "Duplicate mount point: /d";
  expect(() => plan({ mounts: [parseVolume("/a:/d"), parseVolume("data:/d/")] })).toThrow(duplicate);
  expect(() => plan({ mounts: [parseVolume("/a:/d"), parseMount("type=tmpfs,dst=/d")] })).toThrow(duplicate);
  expect(() => plan({ mounts: [parseVolume("/d")], tmpfs: [parseTmpfs("/d")] })).toThrow(duplicate);
  expect(plan({ tmpfs: [parseTmpfs("/d:size=1m"), parseTmpfs("/d:size=2m")] })).toMatchObject([
    { options: expect.arrayContaining(["size=2m"]) },
  ]);
});

test("volumes that nobody has named get names", () => {
  expect(plan({ mounts: [parseVolume("/d")], imageVolumes: ["/e"] })).toMatchObject([{ name: "new" }, { name: "new" }]);
});

test("a container inherits folders and volumes, no devices, secrets or tmpfs", () => {
  const mounts = [parseVolume("/a:/b"), parseDevice("/dev/fuse"), parseSecret("pw"), parseTmpfs("/t")];
  expect(inheritMounts(mounts, { readonly: false })).toMatchObject([{ destination: "/b", origin: "volumes-from" }]);
});

test("devices: their place, and permissions that a rootless user can't take away", () => {
  expect(parseDevice("/dev/fuse")).toMatchObject({ source: "/dev/fuse", destination: "/dev/fuse", mode: "rwm" });
  expect(parseDevice("/dev/fuse:/dev/x:rw")).toMatchObject({ destination: "/dev/x", mode: "rw" });
  expect(parseDevice("/dev/fuse:rwm")).toMatchObject({ destination: "/dev/fuse", mode: "rwm" });
  expect(() => parseDevice("/dev/fuse:/dev/x:q")).toThrow("bad mode specified: q");
  expect(() => parseDevice("/dev/fuse:/dev/x:rr")).toThrow("bad mode specified: rr");
  expect(() => parseDevice("/dev/fuse:r")).toThrow("device permissions r are not supported");
  expect(() => parseDevice("nvidia.com/gpu=all")).toThrow("CDI devices are not supported");
  expect(() => parseDevice("fuse")).toThrow("fuse is not an absolute path");
  expect(() => parseDevice("/a:/b:rw:x")).toThrow("invalid device specification: /a:/b:rw:x");
});

test("secrets: a name alone, podman's keys and Docker's", () => {
  expect(parseSecret("pw")).toMatchObject({ name: "pw", destination: "/run/secrets/pw", uid: 0, gid: 0, mode: 0o444 });
  expect(parseSecret("id=pw,target=x,uid=5,gid=6,mode=0400")).toMatchObject({
    destination: "/run/secrets/x",
    uid: 5,
    gid: 6,
    mode: 0o400,
  });
  expect(parseSecret("source=pw,target=/etc/pw").destination).toBe("/etc/pw");
  expect(() => parseSecret("pw,type=env")).toThrow("secrets of type env are not supported");
  expect(() => parseSecret("pw,color=red")).toThrow("unexpected key 'color' in 'pw,color=red'");
  expect(() => parseSecret("pw,uid=x")).toThrow("invalid id for secret pw: x");
  expect(() => parseSecret("pw,mode=9")).toThrow("invalid mode for secret pw: 9");
});

test("tmpfs takes Docker's defaults unless told otherwise", () => {
  expect(parseTmpfs("/t").options).toEqual(["nosuid", "nodev", "noexec"]);
  expect(parseTmpfs("/t:size=1m,exec").options).toEqual(["nosuid", "nodev", "size=1m", "exec"]);
  expect(() => parseTmpfs("/t:upperdir=/x")).toThrow('invalid tmpfs option ["upperdir=/x"]');
  expect(() => parseTmpfs("t")).toThrow("the path must be absolute");
});
