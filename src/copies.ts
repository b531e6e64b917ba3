/** Work that is done in a copy of this process, since it changes what can't be changed back: namespaces. */

import { formatError, PodError } from "./errors.ts";
import { POLLIN } from "./ns/constants.ts";
import { receive, send } from "./ns/stage.ts";
import { poll, socketPair } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { fork } from "./ns/sys/fork.ts";
import { kill, waitPid } from "./ns/sys/process.ts";

type Answer = { failure?: string };

const SIGKILL = 9;
const copies = 3;
const patienceMs = 10_000; // what takes some milliseconds

/** The descriptors that `work` returns; throws what it throws. A copy may hang, or be ended by the engine: then another does it (ns/sys/fork.ts). */
export function inCopy(work: () => number[]): number[] {
  for (let count = 0; count < copies; count++) {
    const answer = answerOf(work);
    if (answer?.message.failure !== undefined) throw new PodError(answer.message.failure);
    if (answer) return answer.fds;
  }
  throw new PodError("a copy of this process ended before its work was done");
}

function answerOf(work: () => number[]): { message: Answer; fds: number[] } | undefined {
  const [channel, remote] = socketPair("packets");
  const pid = fork(() => {
    close(channel);
    try {
      send(remote, {} satisfies Answer, work());
      return 0;
    } catch (error) {
      send(remote, { failure: formatError(error) } satisfies Answer);
      return 1;
    }
  });
  close(remote);
  const hasSpoken = poll([{ fd: channel, events: POLLIN }], patienceMs)[0] !== 0;
  const answer = hasSpoken ? receive<Answer>(channel) : undefined;
  close(channel);
  if (!hasSpoken) kill(pid, SIGKILL);
  waitPid(pid, true);
  return answer;
}
