import { expect, test } from "bun:test";
import { resolveUser } from "../../src/ns/user.ts";

const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/false\nbroken\n";
const group = "root:x:0:\nweb:x:34:\nadm:x:4:web,root\nmail:x:8:web\n";
const resolve = (user: string) => resolveUser(user, passwd, group);

test("no user is root, with root's supplementary groups", () => {
  expect(resolve("")).toEqual({ uid: 0, gid: 0, additionalGids: [4], home: "/root" });
});

test("a name or its number brings its group, its supplementary groups and its home", () => {
  const web = { uid: 33, gid: 34, additionalGids: [4, 8], home: "/var/www" };
  expect(resolve("web")).toEqual(web);
  expect(resolve("33")).toEqual(web);
});

test("a group given stands alone", () => {
  expect(resolve("web:adm")).toEqual({ uid: 33, gid: 4, additionalGids: [], home: "/var/www" });
  expect(resolve("web:77")).toMatchObject({ gid: 77 });
});

test("a number that nobody knows is taken as it is", () => {
  expect(resolve("1234")).toEqual({ uid: 1234, gid: 0, additionalGids: [], home: "/" });
  expect(resolve("1234:5678")).toMatchObject({ uid: 1234, gid: 5678 });
});

test("a name that nobody knows is an error in Docker's words", () => {
  expect(() => resolve("nobody")).toThrow("unable to find user nobody: no matching entries in passwd file");
  expect(() => resolve("web:nogroup")).toThrow("unable to find group nogroup: no matching entries in group file");
  expect(() => resolve("99999999999")).toThrow("uids and gids must be in range 0-2147483647");
});
