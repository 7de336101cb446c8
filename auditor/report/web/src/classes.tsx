// One table of all classes: only the rows in view are in the document, so that thousands stay fast.

import { useMemo, useRef, useState } from "preact/hooks";
import { data, type Columns } from "./data";
import { chance, NO_DATA, points, save, share, toCsv, toJson, whole } from "./format";
import { SearchBox } from "./box";
import { parse, type Field as Asked, type Query } from "./search";
import { change, useHash } from "./state";
import { openClass } from "./panel";

const ROW = 34; // pixels, as in style.css
const SPARE = 12; // rows kept above and below what is in view

interface Field {
  key: string; title: string; kind: "name" | "count" | "rate" | "points" | "chance" | "text";
  value: (row: number) => any; width: string;
}

/** Context rows where something is annotated, else accuracies; both where there are both. */
function table(): Columns | null {
  const { classes, accuracy } = data;
  if (!classes) return accuracy && { ...accuracy, images: accuracy.top1_total };
  if (!accuracy) return classes;
  const labels = [...new Set<number>([...classes.label, ...accuracy.label])];
  const rowOf = (columns: Columns) => new Map(columns.label.map((label, row) => [label, row]));
  const [ours, theirs] = [rowOf(classes), rowOf(accuracy)];
  const value = (name: string) => (label: number) =>
    ours.has(label) && name in classes ? classes[name][ours.get(label)!]
    : name === "images" ? accuracy.top1_total[theirs.get(label)!]
    : name in accuracy && theirs.has(label) ? accuracy[name][theirs.get(label)!] : null;
  const names = new Set([...Object.keys(classes), ...Object.keys(accuracy)]);
  return Object.fromEntries([...names].map((name) => [name, name === "label" ? labels : labels.map(value(name))]));
}

export const rows = table();

const title = (key: string) => data.definitions[key]?.title ?? key;
const ratio = (key: string) => (row: number) => {
  const [hits, total] = [rows![`${key}_hits`]?.[row], rows![`${key}_total`]?.[row]];
  return total ? hits / total : null;
};

function fields(): Field[] {
  const rate = (key: string, width: string): Field => ({ key, title: title(key), kind: "rate", value: ratio(key), width });
  const plain = (key: string, name: string, kind: Field["kind"]): Field => ({
    key, title: name, kind, value: (row) => rows![key][row], width: "narrow",
  });
  const first: Field[] = [
    { key: "name", title: "Class", kind: "name", value: (row) => rows!.name[row], width: "name" },
    plain("images", "n", "count"),
  ];
  const accuracy = data.accuracy ? [rate("top1", data.classes ? "narrow" : "wide")] : [];
  const rival: Field[] = data.accuracy && !data.classes ? [{ ...plain("rival_name", "Cells' rival", "text"), width: "name" }] : [];
  if (!data.classes) return [...first, ...accuracy, ...rival];
  return [
    ...first, ...accuracy, rate("loc", "narrow"), rate("fg_det", "narrow"),
    rate("bg_act", "wide"), rate("bg_act_without_fg", "wide"),
    { key: "delta", title: title("delta"), kind: "points", width: "narrow", value: delta },
    plain("q_value", title("q_value"), "chance"),
    plain("least_excess", title("least_excess"), "points"),
  ];
}

function delta(row: number): number | null {
  const [after, before] = [ratio("bg_act_without_fg")(row), ratio("bg_act")(row)];
  return after === null || before === null ? null : after - before;
}

const FIELDS = rows ? fields() : [];

const SHORT: Record<string, string> = { images: "n", q_value: "q", least_excess: "least", bg_act_without_fg: "bg_act_wo_fg", rival_name: "rival" };
const KINDS: Record<Field["kind"], Asked["kind"]> = { name: "text", text: "text", count: "number", rate: "share", points: "share", chance: "share" };

/** The table's columns as its search box knows them, and the synset that stands below a name. */
const ASKED: Asked[] = FIELDS.map(({ key, kind, title, value }): Asked => ({
  name: SHORT[key] ?? key, kind: KINDS[kind], values: (row) => [value(row) ?? null],
  about: key === "name" ? "the class" : key === "images" ? "its images" : title,
}));
if (data.synsets?.some(Boolean)) ASKED.push({ name: "synset", kind: "text", values: (row) => [synset(row)], about: "WordNet's number" });
const synset = (row: number): string | null => data.synsets[rows!.label[row]];
const says = (row: number): string => `${rows!.name[row]} ${synset(row) ?? ""}`;

export function Interval({ low, high, value }: { low: number; high: number; value: number }) {
  return (
    <svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={`95 % interval ${share(low, 0)} to ${share(high, 0)} %`}>
      <rect class="track" x="0" y="4.5" width="100" height="1" />
      <rect class="span" x={100 * low} y="2.5" width={Math.max(100 * (high - low), 1)} height="5" />
      <rect class="dot" x={Math.min(Math.max(100 * value - 0.8, 0), 98.4)} y="0.5" width="1.6" height="9" />
    </svg>
  );
}

function Cell({ field, row }: { field: Field; row: number }) {
  const value = field.value(row);
  if (field.kind === "name") {
    return (
      <th scope="row">
        <button class="plain" onClick={() => openClass(rows!.label[row])} title={value}>{value}</button>
        {data.synsets[rows!.label[row]] && <small>{data.synsets[rows!.label[row]]}</small>}
      </th>
    );
  }
  if (field.kind === "text") return <td>{value ?? NO_DATA}</td>;
  if (field.kind === "count") return <td class="number">{whole(value)}</td>;
  if (field.kind === "points") return <td class="number">{points(value)}</td>;
  if (field.kind === "chance") return <td class="number">{chance(value)}</td>;
  const stem = field.key === "top1" ? "interval" : `${field.key}_interval`;
  const [low, high] = [rows![`${stem}_low`]?.[row], rows![`${stem}_high`]?.[row]];
  const counts = `${rows![`${field.key}_hits`][row]}/${rows![`${field.key}_total`][row]}`;
  const hasBar = field.width === "wide" && value !== null && typeof low === "number";
  return (
    <td class="number" title={value === null ? "nothing was counted" : counts}>
      {share(value)}{hasBar && <Interval low={low} high={high} value={value} />}
    </td>
  );
}

function chosen(state: Record<string, string>, query: Query): number[] {
  const [least, most] = [Number(state.n ?? 0), state.maxq ? Number(state.maxq) : Infinity];
  const fits = (row: number) =>
    query.fits(row) && rows!.images[row] >= least && (most === Infinity || (rows!.q_value?.[row] ?? 2) <= most);
  const field = FIELDS.find((each) => each.key === (state.sort ?? (data.classes ? "least_excess" : "top1")));
  const kept = rows!.label.map((_, row) => row).filter(fits);
  if (!field) return kept;
  const ways = state.sort ? Number(state.dir ?? -1) : data.classes ? -1 : 1;
  const compare = (a: number, b: number) => {
    const [x, y] = [field.value(a), field.value(b)];
    // what is unknown comes last and by name: no class leads of which the data say nothing
    if (x === null || y === null) return x === y ? rows!.name[a].localeCompare(rows!.name[b]) || a - b : x === null ? 1 : -1;
    return (typeof x === "string" ? x.localeCompare(y) : x - y) * ways || a - b;
  };
  return kept.sort(compare);
}

function download(kind: "csv" | "json", shown: number[]): void {
  const names = Object.keys(rows!);
  const values = shown.map((row) => names.map((name) => rows![name][row]));
  save(`${data.index}-classes.${kind}`, (kind === "csv" ? toCsv : toJson)(names, values));
}

export function Classes() {
  const state = useHash();
  const [top, setTop] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const query = useMemo(() => parse(state.q ?? "", ASKED, says), [state.q]);
  const shown = useMemo(() => chosen(state, query), [state.q, state.n, state.maxq, state.sort, state.dir]);
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const last = Math.min(shown.length, first + Math.ceil(528 / ROW) + 2 * SPARE);
  const sort = (field: Field) => {
    const ways = state.sort === field.key ? -Number(state.dir ?? -1) : field.kind === "name" || field.kind === "chance" ? 1 : -1;
    change({ sort: field.key, dir: String(ways) }, "classes");
  };
  const order = (field: Field) => (state.sort === field.key ? (state.dir === "1" ? "ascending" : "descending") : undefined);
  const example = data.classes ? "star n>=5 delta>0.1 q<0.05" : "star n>=5 top1<0.5";
  const filter = (name: string) => (event: Event) => change({ [name]: (event.target as HTMLInputElement).value }, "classes");
  return (
    <>
      <div class="controls">
        <SearchBox title="Name or synset" value={state.q ?? ""} wrong={query.wrong} example={example} fields={ASKED} onChange={(q) => change({ q }, "classes")} />
        <label>At least n<input type="number" min="0" value={state.n ?? ""} onInput={filter("n")} /></label>
        {data.classes && <label>q at most<input type="number" min="0" max="1" step="0.01" value={state.maxq ?? ""} onInput={filter("maxq")} /></label>}
        <span class="push">
          <button onClick={() => download("csv", shown)}>CSV</button>
          <button onClick={() => download("json", shown)}>JSON</button>
        </span>
      </div>
      <p class="count" aria-live="polite">{whole(shown.length)} of {whole(rows!.label.length)} classes. Rates in percent; bars are 95 % intervals; a name opens the class.</p>
      <div class="vtable" ref={box} tabIndex={0} role="region" aria-label="All classes" onScroll={() => setTop(box.current!.scrollTop)}>
        <table aria-rowcount={shown.length + 1}>
          <thead>
            <tr>
              {FIELDS.map((field) => (
                <th scope="col" class={`${field.width} ${field.kind === "name" || field.kind === "text" ? "" : "number"}`} aria-sort={order(field)}>
                  <button class="plain" onClick={() => sort(field)} title={data.definitions[field.key]?.definition}>
                    {field.title}{order(field) ? (state.dir === "1" ? " ↑" : " ↓") : ""}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {first > 0 && <tr class="spacer" aria-hidden="true"><td colSpan={FIELDS.length} height={first * ROW}></td></tr>}
            {shown.slice(first, last).map((row, place) => (
              <tr key={row} aria-rowindex={first + place + 2}>{FIELDS.map((field) => <Cell field={field} row={row} />)}</tr>
            ))}
            {last < shown.length && <tr class="spacer" aria-hidden="true"><td colSpan={FIELDS.length} height={(shown.length - last) * ROW}></td></tr>}
          </tbody>
        </table>
      </div>
    </>
  );
}
