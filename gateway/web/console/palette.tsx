// The command palette: every section, index and act, by a few letters.
import { useMemo, useRef, useState } from "preact/hooks";
import { useRead } from "./hooks";
import { score } from "./match";
import { Dialog, Icon } from "./ui";
import { SECTIONS } from "./sections";

interface Entry {
  text: string;
  hint: string;
  icon: string;
  act: () => void;
}

const go = (to: string) => () => {
  location.hash = to;
};

export function Palette(props: { close: () => void; leave: () => void; turnTheme: () => void }) {
  const [typed, setTyped] = useState("");
  const [chosen, setChosen] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const indexes = useRead<{ results: { uid: string }[] }>("/indexes?limit=200");
  const entries = useMemo(() => {
    const all: Entry[] = SECTIONS.flatMap(([group, sections]) =>
      sections.map((one) => ({ text: one.title, hint: group, icon: one.name, act: go(`#/${one.name}`) })),
    );
    all.push(
      { text: "Create an index", hint: "Act", icon: "plus", act: go("#/indexes/+new") },
      { text: "Add a node", hint: "Act", icon: "plus", act: go("#/topology/+node") },
      { text: "Switch colours", hint: "Act", icon: "sun", act: props.turnTheme },
      { text: "Sign out", hint: "Act", icon: "out", act: props.leave },
    );
    for (const { uid } of indexes.data?.results ?? [])
      all.push(
        { text: `${uid}: settings`, hint: "Index", icon: "indexes", act: go(`#/indexes/${encodeURIComponent(uid)}`) },
        { text: `${uid}: documents`, hint: "Index", icon: "documents", act: go(`#/documents/${encodeURIComponent(uid)}`) },
        { text: `${uid}: search`, hint: "Index", icon: "sandbox", act: go(`#/sandbox/${encodeURIComponent(uid)}`) },
      );
    return all;
  }, [indexes.data]);
  const found = entries
    .map((entry) => ({ entry, points: score(entry.text, typed) }))
    .filter((one): one is { entry: Entry; points: number } => one.points !== null)
    .sort((one, other) => other.points - one.points)
    .slice(0, 40)
    .map((one) => one.entry);
  const run = (entry: Entry | undefined) => {
    if (!entry) return;
    props.close();
    entry.act();
  };
  const keys = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) {
      event.preventDefault();
      const next = Math.max(0, Math.min(found.length - 1, chosen + step));
      setChosen(next);
      list.current?.children[next]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(found[chosen]);
    }
  };
  return (
    <Dialog title="Go to or do" close={props.close}>
      <div class="palette" onKeyDown={keys}>
        <input
          class="input"
          role="combobox"
          aria-label="Section, index or act"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={found.length ? `palette-${chosen}` : undefined}
          autocomplete="off"
          spellcheck={false}
          placeholder="Type a few letters"
          value={typed}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            setChosen(0);
          }}
          ref={(input) => input?.focus()}
        />
        <ul id="palette-list" role="listbox" aria-label="Matches" ref={list}>
          {found.map((entry, at) => (
            <li
              key={entry.text}
              id={`palette-${at}`}
              role="option"
              aria-selected={at === chosen}
              onMouseEnter={() => setChosen(at)}
              onClick={() => run(entry)}
            >
              <Icon name={entry.icon} size={16} />
              <span>{entry.text}</span>
              <span class="hint">{entry.hint}</span>
            </li>
          ))}
        </ul>
        {!found.length && <p class="hint" role="status">Nothing matches.</p>}
      </div>
    </Dialog>
  );
}
