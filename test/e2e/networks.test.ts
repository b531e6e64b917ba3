/** Networks that the user makes: the commands, several at once, connecting and disconnecting while containers run. */

import { beforeAll, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onBothDrivers, requires } from "./harness.ts";

requires("/dev/net/tun").describe("with a way out", () => {
  onBothDrivers("networks", (host) => {
    beforeAll(async () => void (await host.must("pull", "--quiet", "starter")));

    const start = (name: string, ...options: string[]) =>
      host.must("run", "-d", "--name", name, ...options, "starter", "sleep", "1000");
    const within = async (name: string, script: string) => (await host.pod("exec", name, "sh", "-c", script)).stdout;
    const reaches = async (name: string, address: string) =>
      (await within(name, `ping -c 1 -W 1 ${address}`)).includes("1 packets received");

    test("are made, listed, inspected and removed as with Docker", async () => {
      const id = await host.must("network", "create", "--subnet", "10.99.1.0/24", "--label", "a=b", "mine");
      expect(id).toMatch(/^[0-9a-f]{64}$/);
      await host.must("network", "create", "--internal", "closed");
      const list = await host.must("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}}");
      expect(list.split("\n")).toEqual([
        "bridge bridge local false",
        "closed bridge local true",
        "host host local false",
        "mine bridge local false",
        "none null local false",
      ]);
      expect(await host.must("network", "ls", "-q", "--filter", "label=a")).toBe(id.slice(0, 12));
      expect(await host.must("network", "ls", "-q", "--no-trunc", "--filter", "type=custom")).toContain(id);
      const [shown] = JSON.parse(await host.must("network", "inspect", id.slice(0, 10)));
      expect(shown).toMatchObject({
        Name: "mine",
        Id: id,
        IPAM: { Config: [{ Subnet: "10.99.1.0/24", Gateway: "10.99.1.2" }] },
        Containers: {},
        Labels: { a: "b" },
      });
      expect((await host.pod("network", "exists", "mine")).code).toBe(0);
      expect((await host.pod("network", "exists", "other")).code).toBe(1);
    });

    test.each([
      [["create", "mine"], "network with name mine already exists"],
      [["create", "host"], "network with name host already exists"],
      [["create", "default"], "operation is not permitted on predefined default network"],
      [["create", "slirp4netns"], "operation is not permitted on predefined slirp4netns network"],
      [["create", "a/b"], 'invalid network name "a/b"'],
      [["create", "-d", "macvlan", "new"], "network driver macvlan is not supported"],
      [["create", "--subnet", "10.99", "new"], "invalid CIDR address: 10.99"],
      [["create", "--subnet", "10.99.1.128/25", "new"], "Pool overlaps with other one on this address space"],
      [["create", "--subnet", "10.99.2.0/26", "new"], "slirp4netns, the way out, takes prefixes to /25"],
      [["create", "--subnet", "10.99.2.0/24", "--gateway", "10.99.2.1", "new"], "is always 10.99.2.2"],
      [["create", "--subnet", "10.99.2.0/24", "--ip-range", "10.98.0.0/24", "new"], "no matching subnet for range"],
      [["create", "--gateway", "10.99.2.2", "new"], "no matching subnet for gateway"],
      [["create", "-o", "mtu=9", "new"], "invalid mtu 9"],
      [["inspect", "nope"], "network nope not found"],
      [["rm", "nope"], "network nope not found"],
      [["rm", "bridge"], "bridge is a pre-defined network and cannot be removed"],
      [["connect", "nope", "nobody"], "network nope not found"],
      [["connect", "mine", "nobody"], "No such container: nobody"],
    ])("network %p is refused", async (words, text) => {
      const { code, stderr } = await host.pod("network", ...words);
      expect({ code: code > 0, stderr }).toEqual({ code: true, stderr: expect.stringContaining(text) });
      expect((await host.pod("network", "exists", "new")).code).toBe(1);
    });

    test("a container has the address, the hardware address and the aliases that were asked for", async () => {
      const options = ["--ip", "10.99.1.77", "--mac-address", "02:00:00:00:00:77", "--network-alias", "db"];
      await start("asked", "--network", "mine", ...options);
      const path = "{{with .NetworkSettings.Networks.mine}}{{.IPAddress}} {{.MacAddress}} {{.Aliases}}{{end}}";
      expect(await host.must("inspect", "-f", path, "asked")).toBe("10.99.1.77 02:00:00:00:00:77 [db]");
      expect(await within("asked", "cat /sys/class/net/eth0/address")).toBe("02:00:00:00:00:77\n");
      const again = await host.pod("run", "--rm", "--network", "mine", "--ip", "10.99.1.77", "starter", "true");
      expect(again).toMatchObject({ code: 125, stderr: expect.stringContaining("Address already in use") });
      const outside = await host.pod("run", "--rm", "--network", "mine", "--ip", "10.1.1.1", "starter", "true");
      expect(outside.stderr).toContain("no configured subnet contains IP address 10.1.1.1");
    });

    test("a container in several networks has an interface in each, and leaves by the one that has a way out", async () => {
      await start("both", "--network", "closed", "--network", "mine:alias=double");
      expect(await within("both", "ls /sys/class/net")).toBe("eth0\neth1\nlo\n");
      expect(await within("both", "ip route show default")).toContain("via 10.99.1.2 dev eth1");
      expect(await reaches("asked", "double")).toBe(true);
      expect(await reaches("both", "db")).toBe(true);
      expect(await host.must("ps", "--filter", "name=both", "--format", "{{.Networks}}")).toBe("closed,mine");
      expect(await host.must("ps", "-q", "--filter", "network=closed")).not.toBe("");
    });

    test("members of one network neither reach nor know those of another, and an internal one leads nowhere", async () => {
      await start("inner", "--network", "closed");
      expect(await within("inner", "ip route show default; cat /etc/resolv.conf")).not.toContain("nameserver");
      expect(await reaches("inner", "both")).toBe(true);
      expect(await within("inner", "cat /etc/hosts")).not.toContain("10.99.1.");
      for (const address of ["10.99.1.77", "10.99.1.2", "192.0.2.1"])
        expect(await reaches("inner", address)).toBe(false);
      await start("apart");
      expect(await reaches("apart", "10.99.1.77")).toBe(false);
      const route = "ip route add 10.99.1.0/24 via $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p') dev eth0";
      await host.pod("exec", "--privileged", "apart", "sh", "-c", `${route}; true`);
      expect(await reaches("apart", "10.99.1.77")).toBe(false);
      await host.must("exec", "--privileged", "apart", "ip", "route", "del", "10.99.1.0/24");
    });

    test("a running container is connected and disconnected, and its way out follows", async () => {
      await host.must("network", "connect", "--alias", "late", "mine", "apart");
      expect(await reaches("asked", "late")).toBe(true);
      expect(await reaches("apart", "db")).toBe(true);
      const twice = await host.pod("network", "connect", "mine", "apart");
      expect(twice.stderr).toContain("endpoint with name apart already exists in network mine");
      await host.must("network", "disconnect", "bridge", "apart");
      expect(await within("apart", "ip route show default")).toContain("via 10.99.1.2 dev eth1");
      expect(await within("apart", "cat /etc/resolv.conf")).toStartWith("nameserver 10.99.1.3\n");
      await host.must("network", "disconnect", "mine", "apart");
      expect(await within("apart", "ls /sys/class/net")).toBe("lo\n");
      expect(await within("asked", "cat /etc/hosts")).not.toContain("late");
      const gone = await host.pod("network", "disconnect", "mine", "apart");
      expect(gone.stderr).toContain("is not connected to network mine");
      const used = await host.pod("network", "rm", "mine");
      expect(used.stderr).toMatch(/network mine has active endpoints \(name:"(asked|both)" id:"[0-9a-f]{12}"/);
    });

    test("a stopped container is connected when it starts", async () => {
      await host.must("create", "--name", "later", "starter", "sleep", "100");
      await host.must("network", "connect", "mine", "later");
      await host.must("start", "later");
      expect(await within("later", "ls /sys/class/net")).toBe("eth0\neth1\nlo\n");
      expect(await reaches("later", "db")).toBe(true);
    });

    test("container:NAME shares another's network, its names and its host name, and exec finds it too", async () => {
      const script = "hostname; ip -o -4 addr show eth0; grep -c '# pod' /etc/hosts; ip link set eth0 down 2>&1";
      const { code, stdout } = await host.pod(
        "run",
        "--rm",
        "--network",
        "container:asked",
        "starter",
        "sh",
        "-c",
        script,
      );
      expect(code).not.toBe(0); // it has no power over the other's network
      const name = await within("asked", "hostname");
      expect(stdout).toStartWith(name);
      expect(stdout).toContain("inet 10.99.1.77/24");
      await start("guest", "--network", "container:asked");
      expect(await within("guest", "ip -o -4 addr show eth0; hostname")).toContain("inet 10.99.1.77/24");
      const id = await host.must("inspect", "-f", "{{.Id}}", "asked");
      expect(await host.must("inspect", "-f", "{{.HostConfig.NetworkMode}}", "guest")).toBe(`container:${id}`);
      await host.must("rm", "-f", "guest");
    });

    test("the network of a container that does not run can't be shared", async () => {
      await host.must("create", "--name", "idle", "starter", "true");
      const { code, stderr } = await host.pod("run", "--rm", "--network", "container:idle", "starter", "true");
      expect({ code, stderr }).toEqual({
        code: 125,
        stderr: expect.stringContaining("cannot join network of a non running container"),
      });
      await host.must("rm", "idle");
      expect((await host.pod("run", "--network", "container:idle", "starter")).stderr).toContain(
        "No such container: idle",
      );
    });

    test("exec works in the host's network", async () => {
      await start("hosted", "--network", "host");
      expect(await within("hosted", "echo ok")).toBe("ok\n");
      await host.must("rm", "-f", "hosted");
    });

    test("a member's file that a power cut has emptied keeps nobody from anything", async () => {
      const file = join(host.dataDir, "networks/mine/members", `${"0".repeat(64)}.json`);
      writeFileSync(file, "");
      await host.pod("rm", "-f", "nosuch");
      expect(existsSync(file)).toBe(false);
    });

    test("none and host have no networks besides", async () => {
      await host.must("create", "--name", "alone", "--network", "none", "starter", "true");
      const { stderr } = await host.pod("network", "connect", "mine", "alone");
      expect(stderr).toContain("a container with --network none cannot be connected to networks");
    });

    test("events tell who came and went, and prune removes what nobody is in", async () => {
      await host.must("rm", "-f", "asked", "both", "inner", "apart", "later", "alone");
      expect(await host.must("network", "prune", "-f")).toBe("Deleted Networks:\nclosed\nmine\n");
      const until = String(Date.now() / 1000 + 1);
      const options = ["--since", "1h", "--until", until, "-f", "network=closed", "--format", "{{.Action}}"];
      const actions = (await host.must("events", ...options)).split("\n");
      expect([actions[0], actions.at(-1)]).toEqual(["create", "destroy"]);
      expect(actions.filter((action) => action === "connect")).toHaveLength(2);
      expect(actions.filter((action) => action === "disconnect")).toHaveLength(2);
      expect(await host.leftoversWithoutImages()).toEqual([]);
    });
  });
});
