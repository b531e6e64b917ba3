import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createServer, connect as dial, type Server } from "node:net";
import { join } from "node:path";

/** Answers with all that it got, once the input has ended: so both halves of a connection have to be carried. */
let server: Server;
let udpServer: Bun.udp.Socket<"buffer">;
let child: Bun.Subprocess<"ignore", "pipe", "inherit">;
let ports: { tcp: number; udp: number };

beforeAll(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(Buffer.from(chunk)));
    socket.on("end", () => socket.end(Buffer.concat(chunks)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  udpServer = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: { data: (socket, data, port, address) => void socket.send(`re: ${data}`, port, address) },
  });
  const target = (server.address() as { port: number }).port;
  const script = join(import.meta.dir, "forward-child.ts");
  child = Bun.spawn([process.execPath, script, String(target), String(udpServer.port)], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  ports = JSON.parse(new TextDecoder().decode(value));
});

afterAll(async () => {
  child.kill("SIGKILL");
  await child.exited;
  udpServer.close();
  server.close();
});

function exchange(bytes: Buffer, port = ports.tcp): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = dial({ port, host: "127.0.0.1", allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(Buffer.from(chunk)));
    socket.on("end", () => resolve(Buffer.concat(chunks)));
    socket.on("error", reject);
    socket.end(bytes);
  });
}

test("connections carry all bytes both ways, and the end of each half", async () => {
  const bytes = Buffer.alloc(9_000_000, "0123456789abcdef-");
  expect((await exchange(bytes)).equals(bytes)).toBe(true);
  expect((await exchange(Buffer.alloc(0))).length).toBe(0);
});

test("datagrams from many ports leave descriptors for connections", async () => {
  const target = (server.address() as { port: number }).port;
  const silent = await Bun.udpSocket({ hostname: "127.0.0.1" });
  const command = [process.execPath, join(import.meta.dir, "forward-child.ts"), String(target), String(silent.port)];
  const limited = Bun.spawn(["bash", "-c", 'ulimit -n 128; exec "$@"', "-", ...command], { stdout: "pipe" });
  try {
    const { value } = await limited.stdout.getReader().read();
    const { tcp, udp } = JSON.parse(new TextDecoder().decode(value)) as typeof ports;
    for (let i = 0; i < 300; i++) {
      const client = await Bun.udpSocket({});
      client.send("x", udp, "127.0.0.1");
      client.close();
    }
    expect((await exchange(Buffer.from("still there"), tcp)).toString()).toBe("still there");
  } finally {
    limited.kill("SIGKILL");
    await limited.exited;
    silent.close();
  }
});

test("many connections at once are apart", async () => {
  const texts = Array.from({ length: 100 }, (_, index) => `${index} `.repeat(5000));
  const answers = await Promise.all(texts.map((text) => exchange(Buffer.from(text))));
  expect(answers.map(String)).toEqual(texts);
});

test("who does not read waits alone, and gets all of it later", async () => {
  const bytes = Buffer.alloc(20_000_000, "0123456789abcdef-");
  const slow = dial({ port: ports.tcp, host: "127.0.0.1", allowHalfOpen: true });
  slow.pause();
  slow.end(bytes);
  expect(String(await exchange(Buffer.from("quick")))).toBe("quick");
  await Bun.sleep(200);
  const chunks: Buffer[] = [];
  slow.on("data", (chunk) => chunks.push(Buffer.from(chunk)));
  slow.resume();
  await new Promise((resolve) => slow.on("end", resolve));
  expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
});

test("connections that are reset leave nothing open", async () => {
  const openFiles = () => readdirSync(`/proc/${child.pid}/fd`).length;
  const before = openFiles();
  for (let count = 0; count < 100; count++) {
    const socket = dial({ port: ports.tcp, host: "127.0.0.1" });
    await new Promise<void>((resolve) => void socket.write("x", () => resolve()));
    socket.resetAndDestroy();
  }
  await exchange(Buffer.from("last"));
  for (let count = 0; openFiles() > before && count < 50; count++) await Bun.sleep(20);
  expect(openFiles()).toBeLessThan(before + 20); // some pipes are kept for the next connections
});

test("datagrams are answered to whom they came from", async () => {
  const ask = async (text: string) => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const client = await Bun.udpSocket({ socket: { data: (_, data) => resolve(String(data)) } });
    client.send(text, ports.udp, "127.0.0.1");
    const answer = await promise;
    client.close();
    return answer;
  };
  expect(await Promise.all(["one", "two", "three"].map(ask))).toEqual(["re: one", "re: two", "re: three"]);
});

test("where nobody listens any more the connection is closed, and others go on", async () => {
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  const answer = await exchange(Buffer.from("x")).catch(() => Buffer.alloc(0));
  expect(answer.length).toBe(0);
  expect(child.exitCode).toBe(null);
});
