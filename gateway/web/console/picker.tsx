// Which index a section is about, kept in the address.
import { part } from "./api";
import { useRead } from "./hooks";
import { Choice } from "./ui";
import type { Page } from "./types";

/** The indexes, and the one that is chosen: that of the address, else the first. */
export function useIndexes(named: string | undefined): { all: string[]; uid: string; ready: boolean; aliases: string[] } {
  const indexes = useRead<Page<{ uid: string }>>("/indexes?limit=1000", ["indexes"]);
  const aliases = useRead<Page<{ name: string }>>("/_miroir/aliases", ["aliases"]);
  const all = indexes.data?.results.map((index) => index.uid) ?? [];
  return {
    all,
    uid: named ?? all[0] ?? "",
    ready: indexes.data !== null,
    aliases: aliases.data?.results.map((alias) => alias.name) ?? [],
  };
}

export function Picker(props: { section: string; all: string[]; aliases?: string[]; uid: string; label?: string }) {
  const options: [string, string][] = [
    ...props.all.map((uid) => [uid, uid] as [string, string]),
    ...(props.aliases ?? []).map((name) => [name, `${name} (alias)`] as [string, string]),
  ];
  if (props.uid && !options.some(([uid]) => uid === props.uid)) options.push([props.uid, `${props.uid} (unknown)`]);
  return (
    <Choice
      label={props.label ?? "Index"}
      value={props.uid}
      options={options}
      set={(uid) => (location.hash = `#/${props.section}/${part(uid)}`)}
    />
  );
}
