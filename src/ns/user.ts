/** `-u`: who the program runs as, read from the container's own /etc/passwd and /etc/group. */

import { PodError } from "../errors.ts";

export interface ResolvedUser {
  uid: number;
  gid: number;
  additionalGids: number[];
  home: string;
}

/**
 * `name`, `uid`, `name:group`, `uid:gid` and all mixtures, as Docker resolves them: an unknown number is taken as it
 * is, with group 0; an unknown name is an error. Supplementary groups are added where no group is given.
 */
export function resolveUser(user: string, passwd: string, group: string): ResolvedUser {
  const [userPart = "", groupPart = ""] = user.split(":", 2) as [string, string?];
  const accounts = parseAccounts(passwd);
  const groups = parseGroups(group);
  const wanted = userPart || "0";
  const account = accounts.find(({ name, uid }) => name === wanted || String(uid) === wanted);
  if (!account && !/^\d+$/.test(wanted)) {
    throw new PodError(`unable to find user ${wanted}: no matching entries in passwd file`);
  }
  const uid = account?.uid ?? toId(wanted);
  const gid = groupPart ? groupId(groupPart, groups) : (account?.gid ?? 0);
  const additionalGids =
    account && !groupPart
      ? groups.filter(({ members, gid: id }) => members.includes(account.name) && id !== gid).map(({ gid: id }) => id)
      : [];
  return { uid, gid, additionalGids, home: account?.home || "/" };
}

function groupId(text: string, groups: { name: string; gid: number }[]): number {
  const found = groups.find(({ name, gid }) => name === text || String(gid) === text);
  if (found) return found.gid;
  if (/^\d+$/.test(text)) return toId(text);
  throw new PodError(`unable to find group ${text}: no matching entries in group file`);
}

function toId(text: string): number {
  const id = Number(text);
  if (id > 2 ** 31 - 1) throw new PodError(`uids and gids must be in range 0-2147483647: ${text}`);
  return id;
}

/** passwd(5) lines. */
function parseAccounts(text: string): { name: string; uid: number; gid: number; home: string }[] {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter((fields) => fields.length >= 4 && fields[0] && /^\d+$/.test(fields[2]!))
    .map(([name, , uid, gid, , home]) => ({ name: name!, uid: Number(uid), gid: Number(gid), home: home ?? "" }));
}

/** group(5) lines. */
function parseGroups(text: string): { name: string; gid: number; members: string[] }[] {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter((fields) => fields.length >= 3 && fields[0] && /^\d+$/.test(fields[2]!))
    .map(([name, , gid, members]) => ({
      name: name!,
      gid: Number(gid),
      members: (members ?? "").split(",").filter(Boolean),
    }));
}
