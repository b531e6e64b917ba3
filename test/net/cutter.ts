/** A network that breaks: passes connections on to a registry, and cuts some of them off while the client is sending. */

import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * Listens on loopback. `cuts` are the bytes after which a connection that sends so many is reset, one after the other; what came
 * before goes on to the registry, which sees an early end.
 */
export async function startCutter(host: string, cuts: number[]) {
  const [name, port] = host.split(":");
  const left = [...cuts];
  const sockets = new Set<Socket>();
  let sentBytes = 0;
  const server = createServer((client) => {
    const registry = connect(Number(port), name);
    for (const socket of [client, registry]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    }
    let passed = 0;
    client.on("data", (chunk: Buffer) => {
      const limit = left[0] ?? Number.POSITIVE_INFINITY;
      const isCut = passed + chunk.length > limit;
      const part = isCut ? chunk.subarray(0, limit - passed) : chunk;
      passed += part.length;
      sentBytes += part.length;
      if (!registry.write(part)) {
        client.pause();
        registry.once("drain", () => client.resume());
      }
      if (!isCut) return;
      left.shift();
      client.removeAllListeners("data");
      registry.end();
      client.resetAndDestroy();
    });
    registry.on("data", (chunk: Buffer) => client.write(chunk));
    registry.on("end", () => client.end());
    client.on("end", () => registry.end());
    client.on("error", () => registry.end());
    registry.on("error", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Cuts that were not needed. */
    left,
    /** What clients have sent through it so far. */
    sentBytes: () => sentBytes,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
