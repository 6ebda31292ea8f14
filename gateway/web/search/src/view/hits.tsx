// The hits, as a list, cards, a grid or a table, or as the page's own template has it.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { ROOT } from "../api";
import { usePage } from "../context";
import type { Shown } from "../display";
import { useNames } from "./facets";
import { Icon } from "./icons";
import { Marked } from "./marked";
import { Template } from "./template";
import { safeUrl, shown, valueOf } from "../text";
import type { Hit, View } from "../types";

/** Badges of one hit; more would push everything else away. */
const BADGES_MAX = 4;

/** The attribute by which arrow keys find what a hit opens with. */
export const OPENER = "data-open";

export function Hits({ view }: { view: View }) {
  const { page, engine } = usePage();
  const { results, shown } = engine.known;
  if (!results || !shown) return null;
  const first = page.pagination === "scroll" ? 0 : (results.page - 1) * page.hitsPerPage;
  if (view === "table" && !page.template) return <Table shown={shown} first={first} hits={results.hits} />;
  return (
    <ol class={`hits ${view}`} start={first + 1}>
      {results.hits.map((hit, at) => (
        <li class="hit" key={keyOf(hit, page.primaryKey, at)}>
          {page.template ? <OwnHit hit={hit} position={first + at} /> : <One hit={hit} shown={shown} position={first + at} view={view} />}
        </li>
      ))}
    </ol>
  );
}

export function keyOf(hit: Hit, primaryKey: string | null, at: number): string {
  const key = primaryKey ? valueOf(hit, primaryKey) : undefined;
  return key === undefined ? String(at) : `k${String(key)}`;
}

/** Whether an image may be shown: from the gateway, or from where the page's configuration says. */
export function useImages(): (url: URL) => boolean {
  const { page } = usePage();
  const origins = page.imageOrigins.map((origin) => origin.toLowerCase());
  return (url) => {
    if (url.origin === ROOT.origin || origins.includes(url.origin)) return true;
    return origins.some((origin) => {
      const [scheme, domain] = origin.split("*.");
      return domain !== undefined && `${url.protocol}//` === scheme && url.host.endsWith(`.${domain}`);
    });
  };
}

function OwnHit({ hit, position }: { hit: Hit; position: number }) {
  const { page, locale, clicked } = usePage();
  const allowsImage = useImages();
  return (
    <article class="own">
      <Template
        nodes={page.template ?? []}
        drawing={{ hit, language: locale.language, base: ROOT.href, allowsImage, clicked: () => clicked(hit, position) }}
      />
    </article>
  );
}

/** What a hit opens with: a link to its own page, or its details. */
function Opener({ hit, shown: what, position, children }: { hit: Hit; shown: Shown; position: number; children: ComponentChildren }) {
  const { open, clicked } = usePage();
  const target = what.link ? valueOf(hit, what.link) : undefined;
  const url = typeof target === "string" ? safeUrl(target, ROOT.href) : null;
  const mark = { [OPENER]: "" };
  if (url) {
    return (
      <a {...mark} class="opener" href={url.href} target="_blank" rel="noopener noreferrer" onClick={() => clicked(hit, position)}>
        {children}
      </a>
    );
  }
  return (
    <button {...mark} type="button" class="opener" aria-haspopup="dialog" onClick={() => open(hit, position)}>
      {children}
    </button>
  );
}

function Title({ hit, attribute }: { hit: Hit; attribute: string }) {
  const { locale } = usePage();
  const text = shown(valueOf(hit, attribute), attribute, locale.language);
  return text ? <Marked hit={hit} attribute={attribute} language={locale.language} /> : <em>{locale.words("untitled")}</em>;
}

function One({ hit, shown: what, position, view }: { hit: Hit; shown: Shown; position: number; view: View }) {
  const { locale } = usePage();
  const name = useNames();
  const text = (attribute: string) => <Marked hit={hit} attribute={attribute} language={locale.language} />;
  const has = (attribute: string | undefined): attribute is string => {
    const value = attribute ? valueOf(hit, attribute) : undefined;
    return value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);
  };
  const facts = what.fields.filter(has);
  return (
    <article class="one">
      {what.image && <Image hit={hit} attribute={what.image} title={what.title} tall={view === "grid"} />}
      <div class="body">
        <h3 class="title">
          <Opener hit={hit} shown={what} position={position}>
            <Title hit={hit} attribute={what.title} />
          </Opener>
        </h3>
        {has(what.subtitle) && <p class="subtitle">{text(what.subtitle)}</p>}
        {has(what.text) && <p class="excerpt">{text(what.text)}</p>}
        <Badges hit={hit} attributes={what.badges} />
      </div>
      {facts.length > 0 && (
        <dl class="facts">
          {(view === "list" ? what.fields : facts).map((attribute) => (
            <div key={attribute}>
              <dt>{name(attribute)}</dt>
              <dd>{text(attribute)}</dd>
            </div>
          ))}
        </dl>
      )}
    </article>
  );
}

function Badges({ hit, attributes }: { hit: Hit; attributes: string[] }) {
  const { locale } = usePage();
  const values = attributes.flatMap((attribute) => {
    const value = valueOf(hit, attribute);
    return (Array.isArray(value) ? value : [value]).map((member) => shown(member, attribute, locale.language)).filter(Boolean);
  });
  if (values.length === 0) return null;
  return (
    <ul class="badges">
      {values.slice(0, BADGES_MAX).map((value) => (
        <li key={value}>{value}</li>
      ))}
      {values.length > BADGES_MAX && <li>+{values.length - BADGES_MAX}</li>}
    </ul>
  );
}

/** An image in a frame of fixed proportions, so that nothing moves when it comes; without it a letter stands there. */
function Image({ hit, attribute, title, tall }: { hit: Hit; attribute: string; title: string; tall: boolean }) {
  const { locale } = usePage();
  const allowed = useImages();
  const [broken, setBroken] = useState(false);
  const value = valueOf(hit, attribute);
  const url = typeof value === "string" ? safeUrl(value, ROOT.href) : null;
  const visible = url && allowed(url) && !broken;
  const initial = /\p{L}|\p{N}/u.exec(shown(valueOf(hit, title), title, locale.language))?.[0]?.toUpperCase() ?? "";
  return (
    <div class={tall ? "image tall" : "image"}>
      {!visible && (
        <span class="initial" aria-hidden="true">
          {initial}
        </span>
      )}
      {visible && <img src={url.href} alt="" loading="lazy" decoding="async" onError={() => setBroken(true)} />}
    </div>
  );
}

function Table({ shown: what, hits, first }: { shown: Shown; hits: Hit[]; first: number }) {
  const { page, engine, locale } = usePage();
  const title = useNames();
  const columns = [what.title, what.subtitle, ...what.badges, ...what.fields].filter((name): name is string => Boolean(name));
  const isNumber = (name: string) => hits.some((hit) => typeof valueOf(hit, name) === "number");
  const sorting = engine.state.sort?.split(":") ?? [];
  const next = (name: string) => `${name}:${sorting[0] === name && sorting[1] === "asc" ? "desc" : "asc"}`;
  const sortable = (name: string) => page.sorts.some((sort) => sort.sort === next(name));
  return (
    // What scrolls can be reached by keyboard.
    <div class="table" role="region" aria-label={locale.words("view.table")} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((name) => (
              <th
                scope="col"
                key={name}
                class={isNumber(name) ? "numeric" : ""}
                aria-sort={sorting[0] === name ? (sorting[1] === "asc" ? "ascending" : "descending") : undefined}
              >
                {sortable(name) ? (
                  <button type="button" onClick={() => engine.set({ sort: next(name) })}>
                    {title(name)}
                    <Icon name="down" class={sorting[0] === name ? `icon sorted ${sorting[1]}` : "icon"} />
                  </button>
                ) : (
                  title(name)
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {hits.map((hit, at) => (
            <tr key={keyOf(hit, page.primaryKey, at)}>
              {columns.map((name, column) => (
                <td key={name} class={isNumber(name) ? "numeric" : ""}>
                  {column === 0 ? (
                    <Opener hit={hit} shown={what} position={first + at}>
                      <Title hit={hit} attribute={name} />
                    </Opener>
                  ) : (
                    <Marked hit={hit} attribute={name} language={locale.language} />
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
