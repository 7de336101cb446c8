// The images that the page carries, filtered; each opens in the viewer.

import { useMemo, useState } from "preact/hooks";
import { cellName, count, data, isRight, labelName, labelsOf, nameOf, parseCell, placeOf, predictedOf, shortName } from "./data";
import { rank } from "./colours";
import { save, toCsv, toJson, whole } from "./format";
import { SearchBox } from "./box";
import { Picture } from "./canvas";
import { both, metadataFields, parse, type Field, type Query } from "./search";
import { change, useHash, type State } from "./state";
import { openImage } from "./panel";

const STEP = 24;
const IMAGES = "images";

interface Filter { key: string; title: string; options: [value: string, text: string][]; fits: (place: number, value: string) => boolean }

const all = Array.from({ length: count }, (_, place) => place);

function listed<T>(values: T[], text: (value: T) => string): [string, string][] {
  return rank(values).map(({ value, count }): [string, string] => [String(value), `${text(value)} (${count})`]);
}

function named(values: number[]): [string, string][] {
  return listed(values, (label) => shortName(nameOf(label))).sort((a, b) => a[1].localeCompare(b[1]));
}

function filters(): Filter[] {
  const facts = data.images;
  const labels = all.flatMap(labelsOf);
  const predicted = all.map(predictedOf).filter((label): label is number => label !== null);
  const found: Filter[] = [
    { key: "label", title: "Labelled", options: named(labels), fits: (place, value) => labelsOf(place).includes(Number(value)) },
    { key: "predicted", title: "Taken for", options: named(predicted), fits: (place, value) => predictedOf(place) === Number(value) },
    {
      key: "answer", title: "Answer", options: [["right", "right"], ["wrong", "wrong"]],
      fits: (place, value) => isRight(place) === (value === "right"),
    },
    {
      key: "finding", title: "Finding",
      options: data.findings.map((each, at) => [String(at), `${each.rank}. ${shortName(each.subject)} (${each.variant.replaceAll("_", " ")})`]),
      fits: (place, value) => data.findings[Number(value)].cells.some((cell) => placeOf(parseCell(cell).path) === place),
    },
    { key: "split", title: "Split", options: listed(facts.split.filter(Boolean), String), fits: (place, value) => facts.split[place] === value },
  ];
  data.others.forEach((other, at) => found.push({
    key: `other${at}`, title: other.index, options: [["differs", "answers otherwise"], ["agrees", "agrees"]],
    fits: (place, value) => (facts.path[place] in other.answers) === (value === "differs"),
  }));
  const keys = [...new Set<string>(facts.metadata.flatMap((each: object) => Object.keys(each)))];
  for (const key of keys) {
    const values = facts.metadata.map((each: Record<string, unknown>) => each[key]).filter((value) => value !== undefined && value !== null);
    const options = listed(values, String);
    if (options.length > 1 && options.length <= 100) {
      found.push({ key: `m.${key}`, title: key, options, fits: (place, value) => String(facts.metadata[place][key]) === value });
    }
  }
  return found.filter((each) => each.options.length && (each.key !== "answer" || all.some((place) => isRight(place) !== null)));
}

const FILTERS = count ? filters() : [];

function asked(): Field[] {
  const facts = data.images;
  const inWords = (right: boolean | null) => (right === null ? null : right ? "yes" : "no");
  const found: Field[] = [
    { name: "path", kind: "text", values: (place) => [facts.path[place]], about: "the file below the dataset's folder" },
    { name: "label", kind: "text", values: (place) => (labelsOf(place).length ? labelsOf(place).map(nameOf) : [facts.true_name[place]]).flatMap((name) => (name ? both(name) : [])), about: "any of its labels" },
    { name: "predicted", kind: "text", values: (place) => (predictedOf(place) === null ? [] : both(nameOf(predictedOf(place)))), about: "the class it is taken for" },
    { name: "p", kind: "share", values: (place) => [facts.p[place]], about: "the probability of that class" },
    { name: "right", kind: "text", values: (place) => [inWords(isRight(place))], about: "yes or no" },
    { name: "split", kind: "text", values: (place) => [facts.split[place]], about: "the part of the dataset" },
    ...data.others.map((other): Field => ({ name: other.index, kind: "text", values: (place) => [other.answers[facts.path[place]] ?? null], about: "what that index takes it for, where it differs" })),
  ];
  return [...found, ...metadataFields((place) => facts.metadata[place], count, found)];
}

const ASKED = count ? asked() : [];
const says = (place: number): string => `${data.images.path[place]} ${labelName(place)} ${nameOf(predictedOf(place))}`;

function chosenImages(state: State, query: Query): number[] {
  const active = FILTERS.filter((each) => state[each.key]);
  return all.filter((place) => active.every((each) => each.fits(place, state[each.key])) && query.fits(place));
}

function download(kind: "csv" | "json", chosen: number[]): void {
  const names = ["path", "labels", "predicted", "right", "split"];
  const rows = chosen.map((place) => {
    const predicted = predictedOf(place);
    const labels = labelsOf(place).map(nameOf).join("; ");
    return [data.images.path[place], labels, predicted === null ? null : nameOf(predicted), isRight(place), data.images.split[place]];
  });
  save(`${data.index}-images.${kind}`, (kind === "csv" ? toCsv : toJson)(names, rows));
}

export function Thumb({ place, onOpen }: { place: number; onOpen: () => void }) {
  const [label, predicted, right] = [shortName(labelName(place)), predictedOf(place), isRight(place)];
  const answer = predicted === null ? "" : right ? "✓ right" : `${right === null ? "" : "✗ "}${shortName(nameOf(predicted))}`;
  return (
    <li>
      <button onClick={onOpen} title={data.images.path[place]}>
        <Picture place={place} />
        <span class="caption">{label}<small>{answer || data.images.path[place]}</small></span>
      </button>
    </li>
  );
}

export function Gallery() {
  const state = useHash();
  const [limit, setLimit] = useState(STEP);
  const keys = [state.find, ...FILTERS.map((each) => state[each.key])].join("|");
  const query = useMemo(() => parse(state.find ?? "", ASKED, says), [state.find]);
  const chosen = useMemo(() => chosenImages(state, query), [keys]);
  const set = (key: string) => (event: Event) => {
    setLimit(STEP);
    change({ [key]: (event.target as HTMLSelectElement).value }, IMAGES);
  };
  return (
    <>
      <p class="count">{data.carried}</p>
      <div class="controls">
        <SearchBox title="Path or class" value={state.find ?? ""} wrong={query.wrong} example="star right=no p<0.5" fields={ASKED}
          onChange={(find) => { setLimit(STEP); change({ find }, IMAGES); }} />
        {FILTERS.map((each) => (
          <label key={each.key}>{each.title}
            <select value={state[each.key] ?? ""} onChange={set(each.key)}>
              <option value="">all</option>
              {each.options.map(([value, text]) => <option value={value}>{text}</option>)}
            </select>
          </label>
        ))}
        <span class="push">
          <button onClick={() => download("csv", chosen)}>CSV</button>
          <button onClick={() => download("json", chosen)}>JSON</button>
        </span>
      </div>
      <p class="count" aria-live="polite">{whole(chosen.length)} of {whole(count)} images; one opens with its grid.</p>
      <ul class="gallery">{chosen.slice(0, limit).map((place) => <Thumb key={place} place={place} onOpen={() => openImage(place)} />)}</ul>
      {limit < chosen.length && <p class="more"><button onClick={() => setLimit(limit + STEP)}>Next {Math.min(STEP, chosen.length - limit)}</button></p>}
    </>
  );
}

export const cellLabel = (place: number, cell: number): string => cellName(data.images.path[place], cell);
