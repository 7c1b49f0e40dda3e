import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeDevice, mkfifo, mknod } from "@ctrd/sys";
import { specContext } from "../test/context.ts";
import type { SpecOption, User } from "./index.ts";
import { createSpec, withAdditionalGroups, withImageConfig, withUser, withUserIds } from "./index.ts";

let rootfs: string;
beforeEach(() => {
  rootfs = mkdtempSync(join(tmpdir(), "oci-user-"));
  mkdirSync(join(rootfs, "etc"));
});
afterEach(() => rmSync(rootfs, { recursive: true, force: true }));

const passwd = `# accounts
root:x:0:0:root:/root:/bin/sh
app:x:1000:1001::/home/app:/bin/sh
app:x:0:0:second of that name::
1234:x:0:0:a name that is a number::
2147483648:x:0:0:a name that is too large a number::
-1:x:0:0:a name that is a negative number::
wrap:x:4294967296:0:would be root if it were cut::
wrapgid:x:5:4294967296:::
empty:x:::::
hex:x:0x0:0:::
`;
const group = `root:x:0:
wheel:x:10:root,app
audio:x:29:nobody,app
app:x:1001:app
apple:x:77:apples,myapp
large:x:4294967296:
bad:x:-1:wrap
`;

function writeAccounts(files: { passwd?: string; group?: string } = {}): void {
  writeFileSync(join(rootfs, "etc/passwd"), files.passwd ?? passwd);
  writeFileSync(join(rootfs, "etc/group"), files.group ?? group);
}

async function userOf(...options: SpecOption[]): Promise<User | undefined> {
  return (await createSpec(specContext({ rootfs }), ...options)).process?.user;
}

const imageUser = (user: string): Promise<User | undefined> =>
  createSpec(specContext({ rootfs, image: { User: user } }), withImageConfig()).then((spec) => spec.process?.user);

test.each([
  ["root", { uid: 0, gid: 0, additionalGids: [0, 10] }],
  ["app", { uid: 1000, gid: 1001, additionalGids: [1001, 10, 29] }],
  ["1000", { uid: 1000, gid: 1001, additionalGids: [1001, 10, 29] }],
  ["01000", { uid: 1000, gid: 1001, additionalGids: [1001, 10, 29] }],
  ["4000", { uid: 4000, gid: 0, additionalGids: [0] }],
  ["2147483647", { uid: 2147483647, gid: 0, additionalGids: [0] }],
  ["1000:10", { uid: 1000, gid: 10, additionalGids: [10] }],
  ["app:wheel", { uid: 1000, gid: 10, additionalGids: [10] }],
  ["4000:audio", { uid: 4000, gid: 29, additionalGids: [29] }],
])("user %s", async (text, expected) => {
  writeAccounts();
  expect(await userOf(withUser(text))).toEqual(expected);
});

test("CVE-2023-25173: the supplementary groups include the primary one", async () => {
  writeAccounts();
  expect((await userOf(withUser("app")))?.additionalGids).toContain(1001);
  expect((await userOf(withUser("app:audio")))?.additionalGids).toEqual([29]);
  expect((await userOf(withUserIds(7, 8)))?.additionalGids).toEqual([8]);
  expect(await userOf(withUser("4000"), withAdditionalGroups("wheel", "5"))).toEqual({
    uid: 4000,
    gid: 0,
    additionalGids: [0, 10, 5],
  });
  expect(await imageUser("")).toEqual({ uid: 0, gid: 0, additionalGids: [0, 10] });
  expect(await imageUser("app")).toEqual({ uid: 1000, gid: 1001, additionalGids: [1001, 10, 29] });
});

test("the groups of the image can be asked for beside a group, or not at all", async () => {
  writeAccounts();
  const asked = await userOf(withUser("1000:5", { imageGroups: true }));
  expect(asked).toEqual({ uid: 1000, gid: 5, additionalGids: [5, 10, 29] });
  const named = await userOf(withUser("app", { imageGroups: false }));
  expect(named).toEqual({ uid: 1000, gid: 1001, additionalGids: [1001] });
});

describe("CVE-2024-40635, CVE-2026-46680: an id that does not fit is refused, never cut or looked up", () => {
  test.each([
    "2147483648",
    "4294967295",
    "4294967296",
    "4294967296:0",
    "0:4294967296",
    "18446744073709551616",
    "99999999999999999999999",
    "-1",
    "-1:0",
    "0:-1",
    "+0",
    "app:2147483648",
  ])("%s", async (text) => {
    writeAccounts();
    expect(() => withUser(text)).toThrow("is not in 0 … 2147483647");
    await expect(imageUser(text)).rejects.toThrow("is not in 0 … 2147483647");
  });

  test.each([
    ["wrap", /the id "4294967296" of "wrap" is not in/],
    ["wrapgid", /the id "4294967296" of "wrapgid"/],
    ["5", /the id "4294967296" of "wrapgid"/],
    ["empty", /the id "" of "empty"/],
    ["hex", /the id "0x0" of "hex"/],
    ["app:large", /the id "4294967296" of "large"/],
  ])("in /etc/passwd or /etc/group: %s", async (text, message) => {
    writeAccounts();
    await expect(userOf(withUser(text))).rejects.toThrow(message);
    await expect(imageUser(text)).rejects.toThrow(message);
  });

  test("a name that is a number is taken as the number", async () => {
    writeAccounts();
    expect(await userOf(withUser("1234"))).toMatchObject({ uid: 1234, gid: 0 });
  });

  test("a group with a bad id that lists the user", async () => {
    writeAccounts({ passwd: "wrap:x:6:6:::\n" });
    await expect(userOf(withUser("wrap"))).rejects.toThrow('the id "-1" of "bad"');
  });
});

test.each(["", ":", "app:", ":wheel", "a:b:c", "a\nb"])("malformed user %j", (text) => {
  expect(() => withUser(text)).toThrow("malformed");
});

test("an unknown name is an error, a missing file is not for a number", async () => {
  writeAccounts();
  await expect(userOf(withUser("nobody"))).rejects.toThrow('user "nobody" in /etc/passwd of container "c1": not found');
  await expect(userOf(withUser("app:none"))).rejects.toThrow('group "none" in /etc/group');
  rmSync(join(rootfs, "etc"), { recursive: true });
  expect(await userOf(withUser("1000"))).toEqual({ uid: 1000, gid: 0, additionalGids: [0] });
  await expect(userOf(withUser("app"))).rejects.toThrow("not found");
});

test("without a root filesystem only numbers can be used", async () => {
  const of = async (text: string): Promise<User | undefined> =>
    (await createSpec(specContext(), withUser(text))).process?.user;
  expect(await of("5")).toEqual({ uid: 5, gid: 0, additionalGids: [0] });
  expect(await of("5:6")).toEqual({ uid: 5, gid: 6, additionalGids: [6] });
  await expect(of("app")).rejects.toThrow('user "app" cannot be looked up without a root filesystem');
});

describe("links in the image", () => {
  let outside: string;
  beforeEach(() => {
    outside = mkdtempSync(join(tmpdir(), "oci-outside-"));
    writeFileSync(join(outside, "passwd"), "secret:x:0:0:::\n");
  });
  afterEach(() => rmSync(outside, { recursive: true, force: true }));

  test("are resolved inside the root filesystem and nothing outside is read", async () => {
    mkdirSync(join(rootfs, "nix"));
    writeFileSync(join(rootfs, "nix/passwd"), "inside:x:42:43:::\n");
    symlinkSync("/nix/passwd", join(rootfs, "etc/passwd"));
    expect(await userOf(withUser("inside"))).toMatchObject({ uid: 42, gid: 43 });
  });

  test.each([
    ["absolute", (): string => join(outside, "passwd")],
    ["with ..", (): string => `../../../../../../..${join(outside, "passwd")}`],
  ])("%s, to the outside", async (_name, target) => {
    symlinkSync(target(), join(rootfs, "etc/passwd"));
    await expect(userOf(withUser("secret"))).rejects.toThrow('user "secret" in /etc/passwd');
  });

  test("of the directory, to the outside", async () => {
    rmSync(join(rootfs, "etc"), { recursive: true });
    symlinkSync(outside, join(rootfs, "etc"));
    await expect(userOf(withUser("secret"))).rejects.toThrow('user "secret" in /etc/passwd');
  });

  test("to themselves", async () => {
    symlinkSync("passwd", join(rootfs, "etc/passwd"));
    await expect(userOf(withUser("x"))).rejects.toThrow("its links lead nowhere");
  });
});

test.each([
  ["a FIFO", (path: string): unknown => mkfifo(path, 0o600)],
  ["a directory", (path: string): unknown => mkdirSync(path)],
  ["a device", (path: string): unknown => mknod(path, 0o020600, makeDevice(1, 5))],
])("/etc/passwd that is %s is refused without opening it", async (_name, make) => {
  make(join(rootfs, "etc/passwd"));
  await expect(userOf(withUser("app"))).rejects.toThrow("etc/passwd of the image is not a regular file");
});

describe("CVE-2026-47262: memory stays bounded whatever the image has in /etc/group", () => {
  const mebibyte = 1 << 20;

  async function growth(work: () => Promise<unknown>): Promise<number> {
    const before = process.memoryUsage().rss;
    await work();
    return (process.memoryUsage().rss - before) / mebibyte;
  }

  test("1 GB of it", async () => {
    writeAccounts();
    const file = openSync(join(rootfs, "etc/group"), "w");
    ftruncateSync(file, 1_000_000_000);
    closeSync(file);
    const grown = await growth(() =>
      expect(userOf(withUser("app"))).rejects.toThrow("it has 1000000000 bytes, the limit is 16777216 bytes"),
    );
    expect(grown).toBeLessThan(64);
  });

  test("one line of 2 MB", async () => {
    writeAccounts({ group: `wheel:x:10:${"a,".repeat(mebibyte)}\n` });
    await expect(userOf(withUser("app"))).rejects.toThrow("a line goes on, the limit is 1048576 bytes");
  });

  test("16 MB of members", async () => {
    writeAccounts();
    const file = openSync(join(rootfs, "etc/group"), "w");
    for (let i = 0; i < 15; i++) writeSync(file, `g${i}:x:${i + 100}:${"a,".repeat((mebibyte - 100) / 2)}app\n`);
    closeSync(file);
    let gids: readonly number[] | undefined;
    const grown = await growth(async () => (gids = (await userOf(withUser("app")))?.additionalGids));
    expect(gids).toEqual([1001, ...Array.from({ length: 15 }, (_, i) => i + 100)]);
    expect(grown).toBeLessThan(200);
  });

  test("more groups than Linux allows", async () => {
    writeAccounts({ group: Array.from({ length: 70_000 }, (_, i) => `g:x:${i}:app\n`).join("") });
    await expect(userOf(withUser("app"))).rejects.toThrow("is in more groups than Linux allows");
  });
});
