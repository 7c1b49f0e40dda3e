/** Issue 4, item 6: `ctrd cp`, `diff` and `commit`. */
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { lgetxattr, lsetxattr } from "@ctrd/sys";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { cliOf, type Cli } from "./support/cli.ts";
import { exited, runOk, start, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";

// Each command is a process of its own, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 150_000 });

let h: Harness;
let cli: Cli;
let running: string;

beforeAll(async () => {
  h = await openHarness("copy");
  cli = cliOf(h);
  running = await cli.background("--name", "running", h.image, "sleep", "1000");
});
afterAll(() => h?.close());

const exec = (...command: string[]): Promise<string> => cli.ctrd("exec", "running", ...command);
const fails = async (...args: string[]): Promise<string> => {
  const { code, stderr } = await cli.attempt(args);
  expect(code, stderr).toBe(1);
  return stderr;
};

test("6: diff lists what was added, changed and deleted; commit makes an image that is pushed and runs", async () => {
  const id = await cli.background(
    "--name",
    "writer",
    h.image,
    "sh",
    "-c",
    "mkdir /new; echo 1 > /new/a; echo x >> /etc/passwd; rm /etc/group; sleep 1000",
  );
  await until(
    "it has written",
    async () => (await cli.attempt(["exec", "writer", "test", "!", "-e", "/etc/group"])).code === 0,
  );
  const expected = "C /etc\nD /etc/group\nC /etc/passwd\nA /new\nA /new/a\n";
  expect((await cli.ctrd("diff", "writer")).split("\n").toSorted()).toEqual(expected.split("\n").toSorted());
  expect(await cli.ctrd("diff", "--json", "writer")).toContain('{"Kind":"D","Path":"/etc/group"}\n');
  const image = `${h.registry.host}/copy/committed:1`;
  const changes = ["-c", 'CMD ["sh", "-c", "cat /new/a; echo $B; ls /etc/group"]', "-c", "ENV B=c"];
  await cli.ctrd("commit", "-a", "somebody", "-m", "a note", ...changes, "writer", image);
  await cli.ctrd("push", image);
  await cli.ctrd("kill", "writer");
  await cli.ctrd("rm", "-f", id);
  await cli.ctrd("rmi", image);
  const inspected = JSON.parse(
    await runOk("skopeo", ["inspect", "--config", "--tls-verify=false", `docker://${image}`]),
  ) as { author: string; history: { comment?: string }[] };
  expect([inspected.author, inspected.history.at(-1)?.comment]).toEqual(["somebody", "a note"]);
  await cli.ctrd("pull", image);
  const result = await cli.attempt(["run", "--rm", image]);
  expect(result).toMatchObject({ code: 1, stdout: "1\nc\n" });
  expect(await fails("commit", "-c", "RUN x", "running", "x:1")).toContain("WORKDIR");
});

test("6: cp follows Docker's rules, out of a running container and into it", async () => {
  await exec(
    "sh",
    "-c",
    "mkdir -p /data/sub; echo one > /data/one; echo two > /data/sub/two; ln -s one /data/link; chown -R 7:8 /data",
  );
  const out = h.path("out");
  mkdirSync(out);
  await cli.ctrd("cp", "running:/data", out);
  await cli.ctrd("cp", "running:/data/.", `${out}/contents`);
  await cli.ctrd("cp", "running:data/one", `${out}/renamed`);
  await cli.ctrd("cp", "running:/data/link", `${out}/link`);
  await cli.ctrd("cp", "-L", "running:/data/link", `${out}/followed`);
  expect(readdirSync(`${out}/data`).toSorted()).toEqual(["link", "one", "sub"]);
  expect(readFileSync(`${out}/contents/sub/two`, "utf8")).toBe("two\n");
  expect(readFileSync(`${out}/renamed`, "utf8")).toBe("one\n");
  expect(lstatSync(`${out}/link`).isSymbolicLink()).toBe(true);
  expect(readFileSync(`${out}/followed`, "utf8")).toBe("one\n");
  expect(statSync(`${out}/renamed`).uid).toBe(process.getuid?.());
  await cli.ctrd("cp", "-a", "running:/data/one", `${out}/owned`);
  expect(statSync(`${out}/owned`)).toMatchObject({ uid: 7, gid: 8 });

  await cli.ctrd("cp", `${out}/data`, "running:/tmp");
  await cli.ctrd("cp", `${out}/data/.`, "running:/made");
  await cli.ctrd("cp", `${out}/owned`, "running:/tmp/file");
  await cli.ctrd("cp", "-a", `${out}/owned`, "running:/tmp/kept");
  expect(
    await exec("sh", "-c", "cat /tmp/data/one /made/sub/two; stat -c %u:%g /tmp/file /tmp/kept; readlink /made/link"),
  ).toBe("one\ntwo\n0:0\n7:8\none\n");
  expect(await fails("cp", "running:/not-there", out)).toContain('no "/not-there"');
  expect(await fails("cp", "running:/data", `${out}/renamed`)).toContain("not a directory");
  expect(await fails("cp", `${out}/renamed`, "running:/nowhere/")).toContain("no directory");
  expect(await fails("cp", `${out}/renamed`, "running:/nowhere/file")).toContain("no directory");
  expect(await fails("cp", out, out)).toContain("CONTAINER:PATH");
  expect(await fails("cp", "missing:/x", out)).toContain("ctrd ps --all");
});

test("6: cp keeps holes and attributes, and hard links together; archives go through pipes", async () => {
  const from = h.path("from");
  mkdirSync(from);
  await runOk("sh", [
    "-ec",
    'echo data > "$0/file"; ln "$0/file" "$0/second"; truncate -s 300M "$0/sparse"; echo end >> "$0/sparse"',
    from,
  ]);
  lsetxattr(`${from}/file`, "user.note", Buffer.from("kept"));
  chmodSync(`${from}/file`, 0o4751);
  await cli.ctrd("cp", `${from}/.`, "running:/holes");
  const [size, blocks, inodes] = (
    await exec("sh", "-c", "cd /holes; stat -c %s sparse; stat -c %b sparse; stat -c %i file second | uniq | wc -l")
  ).split("\n");
  expect([size, inodes]).toEqual(["314572804", "1"]);
  expect(Number(blocks)).toBeLessThan(1000);
  await cli.ctrd("cp", "running:/holes", h.path("back"));
  expect(statSync(h.path("back/sparse")).blocks).toBeLessThan(1000);
  expect(statSync(h.path("back/file")).ino).toBe(statSync(h.path("back/second")).ino);
  expect(lgetxattr(h.path("back/file"), "user.note")?.toString()).toBe("kept");
  expect(statSync(h.path("back/file")).mode & 0o7777).toBe(0o4751);

  const flags = { timeoutMs: 30_000 };
  const script = `"$@" cp running:/data - | tar -tvf - --numeric-owner`;
  const [node = "", ...args] = cli.command;
  const listed = await runOk("sh", ["-c", script, "sh", node, ...args], { ...flags, env: cli.env });
  expect(listed).toMatch(/^drwx\S+ 7\/8 .* data\/\n/);
  expect(listed).toContain(" data/sub/two\n");
  await runOk("sh", ["-c", `tar -C "$0" -cf - file | "$@" cp - running:/tmp`, from, node, ...args], {
    ...flags,
    env: cli.env,
  });
  expect(await exec("cat", "/tmp/file")).toBe("data\n");
});

test("6: cp reaches a container that has not run, and one that has ended", async () => {
  const id = (await cli.ctrd("create", "--name", "idle", h.image, "cat", "/etc/brought")).trim();
  h.daemon.ids.add(id);
  writeFileSync(h.path("brought"), "before it ran\n");
  await cli.ctrd("cp", h.path("brought"), "idle:/etc/brought");
  await cli.ctrd("cp", "idle:/etc/brought", h.path("returned"));
  expect(readFileSync(h.path("returned"), "utf8")).toBe("before it ran\n");
  await cli.ctrd("start", "idle");
  expect(await cli.ctrd("wait", "idle")).toBe("0\n");
  await cli.ctrd("cp", "idle:/etc/brought", h.path("ended"));
  expect(readFileSync(h.path("ended"), "utf8")).toBe("before it ran\n");
  await cli.ctrd("rm", "idle");
});

test("6: links in a container lead nowhere outside of it, whatever is swapped meanwhile", async () => {
  const secret = h.path("secret");
  const outside = h.path("outside");
  writeFileSync(secret, "of the host\n");
  mkdirSync(outside);
  await exec(
    "sh",
    "-c",
    `mkdir -p /evil/real; echo inside > /evil/real/secret; ln -s ${secret} /evil/file; ln -s ${h.daemon.dir} /evil/dir; ln -s /proc/1/root /evil/magic; ln -s ../../../../../../../../..${outside} /evil/up`,
  );
  // Out: what the links mean within the container is not there.
  expect(await fails("cp", "-L", "running:/evil/file", h.path("stolen"))).toContain("there is no");
  expect(await fails("cp", "running:/evil/dir/secret", h.path("stolen"))).toContain("there is no");
  await fails("cp", `running:/evil/magic${secret}`, h.path("stolen"));
  // In: neither a file nor a directory is made on the host.
  await fails("cp", secret, "running:/evil/up/planted");
  await cli.ctrd("cp", secret, "running:/evil/up");
  expect(readdirSync(outside)).toEqual([]);
  const tree = h.path("tree");
  mkdirSync(`${tree}/up`, { recursive: true });
  writeFileSync(`${tree}/up/planted`, "x");
  await cli.ctrd("cp", `${tree}/.`, "running:/evil");
  expect(readdirSync(outside)).toEqual([]);

  // A directory and a link to the host's take turns in its place.
  await exec(
    "sh",
    "-c",
    `mkdir -p /race/turn /race/spare; echo inside > /race/turn/secret; ln -s ${h.daemon.dir} /race/link`,
  );
  const swap =
    "while :; do mv /race/turn /race/spare/d; mv /race/link /race/turn; mv /race/turn /race/link; mv /race/spare/d /race/turn; done";
  const [node = "", ...args] = cli.command;
  const swapper = start(node, [...args, "exec", "running", "sh", "-c", swap], { env: cli.env });
  try {
    for (let round = 0; round < 4; round++) {
      const target = h.path(`race-${round}`);
      const { code } = await cli.attempt(["cp", "-L", "running:/race/turn/secret", target]);
      if (code === 0) expect(readFileSync(target, "utf8")).toBe("inside\n");
      await cli.attempt(["cp", h.path("brought"), "running:/race/turn/planted"]);
      expect(() => statSync(h.path("planted"))).toThrow("ENOENT");
    }
  } finally {
    await cli.ctrd("kill", running);
    await exited(swapper);
  }
});
