// The page's state lives in the URL's hash, so that a link leads to this class, this image, this lasso.
// "#classes" alone scrolls to a part; "#classes?sort=q_value&dir=1" is a part with its state.

import { useEffect, useState } from "preact/hooks";

export type State = Record<string, string>;

const listeners = new Set<() => void>();

export function current(): { part: string; state: State } {
  const [part, query = ""] = location.hash.slice(1).split("?");
  return { part, state: Object.fromEntries(new URLSearchParams(query)) };
}

/** Change some of the state; an empty value takes it away. `part` names where a reload scrolls to. */
export function change(changes: State, part?: string, isStep = false): void {
  const before = current();
  const state = { ...before.state, ...changes };
  const kept = Object.entries(state).filter(([, value]) => value !== "");
  const query = new URLSearchParams(kept).toString();
  const hash = `#${part ?? before.part}${query ? `?${query}` : ""}`;
  if (hash !== location.hash) history[isStep ? "pushState" : "replaceState"](null, "", hash);
  listeners.forEach((tell) => tell());
}

export function useHash(): State {
  const [state, set] = useState(() => current().state);
  useEffect(() => {
    const tell = () => set(current().state);
    listeners.add(tell);
    window.addEventListener("hashchange", tell);
    window.addEventListener("popstate", tell);
    return () => {
      listeners.delete(tell);
      window.removeEventListener("hashchange", tell);
      window.removeEventListener("popstate", tell);
    };
  }, []);
  return state;
}

/** Links within the page keep the state; on opening, the part that the hash names comes into view. */
export function followHash(): void {
  document.addEventListener("click", (event) => {
    const link = (event.target as Element).closest?.("a[href^='#']");
    if (!link) return;
    event.preventDefault();
    const [part, query = ""] = link.getAttribute("href")!.slice(1).split("?");
    change(Object.fromEntries(new URLSearchParams(query)), part, true);
    show(part);
  });
  const { part } = current();
  if (part) requestAnimationFrame(() => show(part));
}

export function show(part: string): void {
  const found = document.getElementById(part);
  if (found instanceof HTMLDetailsElement) found.open = true;
  found?.scrollIntoView();
}
