// What stands in a search box: words to find, and conditions on columns such as n>=5 q<0.05 camera!=Nikon.
// Every box of the page reads it here; nothing of it is code, and what is wrong is said and left out.

import { shortName } from "./data";

export type Value = string | number | boolean | null;

/** A column that can be asked for: the values of a row (several where it has several), and what they are. */
export interface Field { name: string; values: (row: number) => Value[]; kind: "text" | "number" | "share"; about?: string }

export interface Query { fits: (row: number) => boolean; wrong: string }

/** A class by its whole name and by the first of its synonyms. */
export const both = (name: string): string[] => [name, shortName(name)];

type Test = (row: number) => boolean;

const TERM = /(?:"([^"]*)"|([^\s"<>=!:]+))\s*(>=|<=|!=|=|>|<|:)\s*(?:"([^"]*)"|([^\s"]*))|"([^"]*)"|(\S+)/g;
const ORDERS: Record<string, (a: number | string, b: number | string) => boolean> = {
  ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, "<": (a, b) => a < b,
};
const ASKED_FOR_NOTHING = "none"; // what is not known: split=none

const folded = (value: Value) => String(value).toLowerCase();

/** A number as people write it; a share may be in percent. */
function number(text: string): number {
  const [, digits, percent] = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(%?)$/i.exec(text) ?? [];
  return digits === undefined ? NaN : Number(digits) / (percent ? 100 : 1);
}

/** As it would have to be written into a box. */
const shown = (text: string) => (/[\s"<>=!:]/.test(text) ? `"${text}"` : text);

/** A condition as a test; a sentence where it has no meaning. */
function condition(field: Field, sign: string, text: string): Test | string {
  const { name, values, kind } = field;
  if (!text) return `${name}${sign} needs a value`;
  const wanted = text.toLowerCase();
  const isKnown = (row: number) => values(row).some((value) => value !== null && value !== "");
  if (wanted === ASKED_FOR_NOTHING && (sign === "=" || sign === ":")) return (row) => !isKnown(row);
  if (wanted === ASKED_FOR_NOTHING && sign === "!=") return isKnown;
  if (kind === "text") {
    if (sign in ORDERS && !Number.isNaN(number(text))) return `${name} is text and has no order; use =, != or :`;
    if (sign in ORDERS) return (row) => values(row).some((value) => value !== null && ORDERS[sign](folded(value), wanted));
    const isIn = sign === ":" ? (value: Value) => folded(value).includes(wanted) : (value: Value) => folded(value) === wanted;
    const has: Test = (row) => values(row).some((value) => value !== null && isIn(value));
    return sign === "!=" ? (row) => !has(row) : has;
  }
  const asked = number(text);
  if (Number.isNaN(asked)) return `${name} is a number, ${shown(text)} is none`;
  if (kind === "share" && Math.abs(asked) > 1) return `${name} lies between 0 and 1; write ${name}${sign}${text}%`;
  const order = ORDERS[sign] ?? ((a: number | string) => Math.abs(Number(a) - asked) < 1e-9);
  const has: Test = (row) => values(row).some((value) => value !== null && order(Number(value), asked));
  return sign === "!=" ? (row) => !has(row) : has;
}

/** Read what stands in a box: all of it must hold of a row. `says` is the text in which words are looked for. */
export function parse(text: string, fields: Field[], says: (row: number) => string): Query {
  const tests: Test[] = [];
  const wrong: string[] = [];
  for (const [, quoted, plain, sign, inside, bare, phrase, word] of text.matchAll(TERM)) {
    const name = quoted ?? plain;
    if (name === undefined) {
      const wanted = (phrase ?? word).toLowerCase();
      if (wanted.startsWith('"')) wrong.push('a quote " is not closed');
      else tests.push((row) => says(row).toLowerCase().includes(wanted));
      continue;
    }
    const field = fields.find((each) => each.name.toLowerCase() === name.toLowerCase());
    const test = field ? condition(field, sign, inside ?? bare) : `there is no column ${name}, but ${fields.map((each) => shown(each.name)).join(", ")} (words with signs stand in quotes)`;
    if (typeof test === "string") wrong.push(test);
    else tests.push(test);
  }
  return { fits: (row) => tests.every((test) => test(row)), wrong: wrong.length ? `Left out: ${wrong.join("; ")}.` : "" };
}

/** Columns of what people said of images: numbers where all values are, and no name that is another column's. */
export function metadataFields(metadata: (row: number) => Record<string, unknown>, rows: number, taken: Field[]): Field[] {
  const numeric = new Map<string, boolean>();
  for (let row = 0; row < rows; row++) {
    for (const [key, value] of Object.entries(metadata(row))) {
      if (value === null || value === "") continue;
      const isNumber = typeof value === "number" || (typeof value === "string" && !Number.isNaN(number(value)) && !value.endsWith("%"));
      numeric.set(key, isNumber && numeric.get(key) !== false);
    }
  }
  const isTaken = (key: string) => taken.some((each) => each.name.toLowerCase() === key.toLowerCase());
  return [...numeric].map(([key, isNumber]): Field => ({
    name: isTaken(key) ? `metadata.${key}` : key, kind: isNumber ? "number" : "text",
    about: isNumber ? "number, from the dataset" : "text, from the dataset",
    values: (row) => {
      const value = metadata(row)[key] ?? null;
      return [isNumber && value !== null ? (value === "" ? null : Number(value)) : (value as Value)];
    },
  }));
}

/** What can be written into a box, for its tooltip. */
export function help(fields: Field[]): string {
  const listed = fields.map(({ name, kind, about }) => `${shown(name)}: ${about ?? "text"}${kind === "share" ? " (0 to 1, or 50%)" : ""}`);
  return [
    "Words are looked for in names; conditions hold of columns, and all must hold.",
    "= equal, != unequal, : contains, < <= > >= ; what has spaces stands in quotes; none is what is not known.",
    "", ...listed,
  ].join("\n");
}
