// Draws a compiled template: the gateway has checked it, and the page still draws only what it knows itself.
import type { ComponentChildren, JSX } from "preact";
import { h } from "preact";
import { Marked } from "./marked";
import { safeUrl, shown, valueOf } from "../text";
import type { Hit, TemplateNode } from "../types";

const ELEMENTS = new Set(
  ("a article b blockquote br code dd div dl dt em figcaption figure footer h3 h4 h5 h6 header hr i img li mark ol p pre s " +
    "section small span strong sub sup table tbody td th time tr ul").split(" "),
);
const ATTRIBUTES = new Set("class dir lang title aria-label href src alt width height datetime colspan scope".split(" "));

export interface Drawing {
  hit: Hit;
  language: string;
  /** The page's own address, from which others are told. */
  base: string;
  /** Whether images may come from there. */
  allowsImage(url: URL): boolean;
  clicked(): void;
}

export function Template({ nodes, drawing }: { nodes: TemplateNode[]; drawing: Drawing }) {
  return <>{nodes.map((node) => draw(node, drawing))}</>;
}

function draw(node: TemplateNode, drawing: Drawing): ComponentChildren {
  if (typeof node === "string") return node;
  if ("f" in node) return <Marked hit={drawing.hit} attribute={node.f} language={drawing.language} />;
  if ("if" in node) {
    const value = valueOf(drawing.hit, node.if);
    const holds = Array.isArray(value) ? value.length > 0 : Boolean(value);
    return (holds ? node.c : (node.else ?? [])).map((child) => draw(child, drawing));
  }
  if (!ELEMENTS.has(node.t)) return null;
  const props: Record<string, unknown> = {};
  for (const [name, parts] of Object.entries(node.a ?? {})) {
    if (!ATTRIBUTES.has(name)) continue;
    const text = attribute(parts, drawing, name === "href" || name === "src");
    if (name === "class") props.class = classes(text);
    else if (name === "href" || name === "src") {
      const url = address(text, drawing.base);
      if (!url || (name === "src" && !drawing.allowsImage(url))) continue;
      props[name] = url.href;
    } else props[name] = text;
  }
  if (node.t === "a") Object.assign(props, { target: "_blank", rel: "noopener noreferrer", onClick: drawing.clicked });
  if (node.t === "img") {
    if (!props.src) return null;
    Object.assign(props, { loading: "lazy", alt: props.alt ?? "" });
  }
  return h(node.t, props as JSX.HTMLAttributes, (node.c ?? []).map((child) => draw(child, drawing)));
}

/** A template's classes are those that the page offers for it, and no others. */
function classes(text: string): string {
  return text
    .split(/\s+/)
    .filter((name) => /^[a-z][a-z0-9-]*$/.test(name))
    .map((name) => `t-${name}`)
    .join(" ");
}

/** An attribute's text. In an address, values that stand behind its beginning are one piece of it and no more. */
function attribute(parts: (string | { f: string })[], drawing: Drawing, isAddress: boolean): string {
  return parts
    .map((part, at) => {
      if (typeof part === "string") return part;
      const value = shownPlain(drawing.hit, part.f, isAddress ? "en-u-nu-latn" : drawing.language, isAddress);
      return isAddress && at > 0 ? encodeURIComponent(value) : value;
    })
    .join("");
}

function shownPlain(hit: Hit, name: string, language: string, isAddress: boolean): string {
  const value = valueOf(hit, name);
  if (isAddress) return typeof value === "string" || typeof value === "number" ? String(value) : "";
  return shown(value, name, language);
}

function address(text: string, base: string): URL | null {
  if (/^mailto:[^\s]+$/i.test(text)) return new URL(text);
  return safeUrl(text, base);
}
