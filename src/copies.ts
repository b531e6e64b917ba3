/** Work that is done in a copy of this process, since it changes what can't be changed back: namespaces. */

import { formatError, PodError } from "./errors.ts";
import { receive, send } from "./ns/stage.ts";
import { socketPair } from "./ns/sys/descriptor.ts";
import { close } from "./ns/sys/file.ts";
import { fork } from "./ns/sys/fork.ts";
import { waitPid } from "./ns/sys/process.ts";

type Answer = { failure?: string };

/** Begins it. The function that comes back waits for its end: the descriptors that it returns, or a throw of what it threw. */
export function inCopy(work: () => number[]): () => number[] {
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
  return () => {
    const answer = receive<Answer>(channel);
    close(channel);
    waitPid(pid, true);
    if (!answer) throw new PodError("a copy of this process ended before its work was done");
    if (answer.message.failure !== undefined) throw new PodError(answer.message.failure);
    return answer.fds;
  };
}
