/** Takes all inotify instances that this user may have, says so, and keeps them until it is killed. */

import { dlopen } from "bun:ffi";

const { inotify_init1 } = dlopen("libc.so.6", { inotify_init1: { args: ["i32"], returns: "i32" } }).symbols;
while (inotify_init1(0) !== -1);
console.log("taken");
setInterval(() => {}, 1000);
