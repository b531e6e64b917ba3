/** What this build is. */

import { version } from "../package.json";

declare const POD_COMMIT: string; // put in by scripts/build.ts

/** package.json's version, the git commit (`""` where it is not known) and the architecture in Go's words, as images name it. */
export const build = {
  version,
  commit: typeof POD_COMMIT === "string" ? POD_COMMIT : "",
  bun: Bun.version,
  os: "linux",
  architecture: process.arch === "arm64" ? "arm64" : "amd64",
};

/** What `pod version` prints: the program is its own engine, so there is one version to tell. */
export function versionText(): string {
  const rows = [
    ["Version:", build.version],
    ["Git commit:", build.commit || "unknown"],
    ["Bun version:", build.bun],
    ["OS/Arch:", `${build.os}/${build.architecture}`],
  ];
  return ["Client: pod", ...rows.map(([name, value]) => ` ${name!.padEnd(18)} ${value}`)].join("\n");
}
