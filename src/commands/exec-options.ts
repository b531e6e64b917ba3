/** The options of `exec`: help needs them before a namespace is entered. */

import type { OptionDefs } from "../args.ts";

export const execArgs = {
  detach: { type: "boolean", alias: "d", description: "Detached mode: run command in the background" },
  "detach-keys": {
    type: "string",
    default: "ctrl-p,ctrl-q",
    description: "Override the key sequence for detaching a container",
  },
  env: { type: "string", alias: "e", multiple: true, description: "Set environment variables" },
  "env-file": { type: "string", multiple: true, description: "Read in a file of environment variables" },
  interactive: { type: "boolean", alias: "i", description: "Keep STDIN open even if not attached" },
  privileged: { type: "boolean", description: "Give extended privileges to the command" },
  tty: { type: "boolean", alias: "t", description: "Allocate a pseudo-TTY" },
  user: { type: "string", alias: "u", description: "Username or UID (format: <name|uid>[:<group|gid>])" },
  workdir: { type: "string", alias: "w", description: "Working directory inside the container" },
  container: { type: "positional" },
  command: { type: "positional" },
  arg: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;
