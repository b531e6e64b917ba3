import { expect, test } from "bun:test";
import { splitFields } from "../../src/mounts/fields.ts";
import { parseMount } from "../../src/mounts/mount-option.ts";

test("volume is the type where none is given, and keys have several names", () => {
  expect(parseMount("src=data,dst=/d,ro")).toMatchObject({ type: "volume", name: "data", readonly: true });
  expect(parseMount("source=data,target=/d,readonly=false")).toMatchObject({ destination: "/d", readonly: false });
  expect(parseMount("destination=/d")).toMatchObject({ type: "volume", name: "", anonymous: true });
});

test("bind: recursion, propagation, and whether a missing source is made", () => {
  const plain = parseMount("type=bind,src=/a,dst=/b,ro");
  expect(plain).toMatchObject({
    recursive: true,
    recursiveReadonly: true,
    makesSource: false,
    propagation: "rprivate",
  });
  expect(parseMount("type=bind,src=/a,dst=/b,bind-nonrecursive")).toMatchObject({ recursive: false });
  expect(parseMount("type=bind,src=/a,dst=/b,bind-recursive=disabled")).toMatchObject({ recursive: false });
  expect(parseMount("type=bind,src=/a,dst=/b,ro,bind-recursive=writable")).toMatchObject({ recursiveReadonly: false });
  expect(parseMount("type=bind,src=/a,dst=/b,bind-propagation=rslave")).toMatchObject({ propagation: "rslave" });
  expect(parseMount("type=bind,src=/a,dst=/b,bind-create-src")).toMatchObject({ makesSource: true });
  expect(parseMount("type=bind,src=./a,dst=/b")).toMatchObject({ source: `${process.cwd()}/a` });
});

test("volume: labels, subpath and nocopy", () => {
  expect(parseMount("src=data,dst=/d,volume-label=a=b,volume-label=c,volume-subpath=x/y,volume-nocopy")).toMatchObject({
    labels: { a: "b", c: "" },
    subpath: "x/y",
    copy: false,
  });
});

test("tmpfs: size in bytes, mode and read-only", () => {
  expect(parseMount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700,ro")).toMatchObject({
    options: ["nosuid", "nodev", "noexec", "size=1048576", "mode=0700", "ro"],
  });
});

test("image: always read-only, with a part of it where that is asked for", () => {
  expect(parseMount("type=image,src=alpine,dst=/i,image-subpath=etc")).toMatchObject({
    reference: "alpine",
    readonly: true,
    subpath: "etc",
  });
});

const wrong: [string, string][] = [
  ["", "value is empty"],
  ["type=bind,src=/a", "target is required"],
  ["type=bind,src=/a,dst", "invalid field 'dst' must be a key=value pair"],
  ["type=bind,src=,dst=/b", "invalid value for 'src': value is empty"],
  ["type=bind, src=/a,dst=/b", "invalid option ' src' in ' src=/a': option should not have whitespace"],
  ["type=bind,src=/a,dst=/b,color=red", "unexpected key 'color' in 'color=red'"],
  ["type=bind,src=/a,dst=/b,ro=maybe", `invalid value for 'ro': invalid boolean value ("maybe"): must be one of`],
  ["type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"],
  ["type=volume,src=data,dst=/b,bind-propagation=slave", "cannot mix 'bind-*' options with mount type 'volume'"],
  ["type=bind,src=/a,dst=/b,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'bind'"],
  ["type=npipe,src=/a,dst=/b", `invalid mount config for type "npipe": mount type unknown`],
  ["type=bind,dst=/b", `invalid mount config for type "bind": field Source must not be empty`],
  [
    "type=bind,src=a,dst=/b",
    `invalid mount config for type "bind": invalid mount path: 'a' mount path must be absolute`,
  ],
  [
    "type=bind,src=/a,dst=b",
    `invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`,
  ],
  ["type=bind,src=/a,dst=/", `invalid mount config for type "bind": invalid specification: destination can't be '/'`],
  ["type=bind,src=/a,dst=/b,bind-propagation=x", `invalid mount config for type "bind": invalid propagation mode: x`],
  ["type=bind,src=/a,dst=/b,bind-propagation=rshared", "propagation mode rshared is not supported"],
  [
    "type=bind,src=/a,dst=/b,bind-recursive=x",
    `invalid value for bind-recursive: x (must be "enabled", "disabled", "writable", or "readonly")`,
  ],
  ["type=bind,src=/a,dst=/b,bind-recursive=writable", "option 'bind-recursive=writable' requires 'readonly'"],
  ["type=bind,src=/a,dst=/b,ro,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"],
  ["type=tmpfs,src=/a,dst=/b", `invalid mount config for type "tmpfs": field Source must not be specified`],
  ["type=tmpfs,dst=/b,tmpfs-size=big", "invalid value for tmpfs-size: big"],
  ["type=tmpfs,dst=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"],
  ["dst=/b,subpath=x", `invalid mount config for type "volume": must not set Subpath when using anonymous volumes`],
  [
    "src=data,dst=/b,subpath=../x",
    `invalid mount config for type "volume": subpath must be a relative path within the volume`,
  ],
  ["src=data,dst=/b,volume-driver=nfs", `error looking up volume plugin nfs: plugin "nfs" not found`],
  ["src=data,dst=/b,volume-opt=o=x", "volume-opt is not supported"],
  ["dst=/b,ro", `invalid mount config for type "volume": must not set ReadOnly mode when using anonymous volumes`],
  ["type=tmpfs,dst=/b,U", "cannot mix 'U' with mount type 'tmpfs'"],
  ["type=image,src=a,dst=/b,rw", "an image can be mounted read-only only"],
];
test.each(wrong)("--mount %p is refused", (text, message) => {
  expect(() => parseMount(text)).toThrow(message);
});

test("fields in quotes hold commas, as in Go's encoding/csv", () => {
  expect(splitFields('a,"b,c=""d""",e')).toEqual(["a", 'b,c="d"', "e"]);
  expect(splitFields("a,")).toEqual(["a", ""]);
  expect(() => splitFields('a,b"c')).toThrow('bare " in non-quoted-field');
  expect(() => splitFields('a,"b')).toThrow('extraneous or missing " in quoted-field');
});
