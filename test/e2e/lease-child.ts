/** Takes a lease on the file that is its descriptor 9, says so, and gives it back to nobody: fcntl(2), F_SETLEASE. */

import { c, check } from "../../src/ns/libc.ts";

const F_SETLEASE = 1024;
const F_WRLCK = 1;
process.on("SIGIO", () => {});
check("fcntl", c.fcntl(9, F_SETLEASE, F_WRLCK));
console.log("leased");
setInterval(() => {}, 1000);
