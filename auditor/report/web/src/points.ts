// The map's cells by column, what they can be coloured by, and finding them again by place.

import { data, nameOf, NONE, placeOf, shortName, unpack, width, words16, words32 } from "./data";
import { colourAt, GREY, ramp, rank } from "./colours";
import { both, metadataFields, type Field } from "./search";

const map = data.map;
export const hasMap = Boolean(map);
export const xs = map ? words16(map.x) : new Uint16Array();
export const ys = map ? words16(map.y) : new Uint16Array();
export const n = xs.length;
export const RANGE = 0xffff;
const image = map ? words32(map.image) : new Uint32Array();
const cell = map ? words16(map.cell) : new Uint16Array();
const top = map ? words16(map.top) : new Uint16Array();
const p = map ? words16(map.p) : new Uint16Array();
const foreground = map ? unpack(map.foreground) : new Uint8Array();
export const cluster = map ? words16(map.cluster) : new Uint16Array();
const images = map?.images ?? { path: [], label: [], true_name: [], split: [], metadata: [] };

const NO_CLUSTER = "no cluster";

export interface Point { path: string; cell: number; place: number | undefined; label: string; predicted: string; p: number; foreground: string; cluster: string }

const labelOf = (row: number): string =>
  images.label[row] === null ? images.true_name[row] ?? "no label" : nameOf(images.label[row]);
const foregroundOf = (at: number): string => ["background", "foreground", "not annotated"][foreground[at]];
const owners = new Map<number, string>((map?.clusters ?? []).map((each: any) => [each.number, each.class ? `: ${shortName(each.class)}` : ""]));
const clusterName = (number: number): string => (number ? `${number}${owners.get(number) ?? ""}` : NO_CLUSTER);
const clusterOf = (at: number): string => clusterName(cluster[at]);

export function point(at: number): Point {
  const path = images.path[image[at]];
  return {
    path, cell: cell[at], place: placeOf(path), label: labelOf(image[at]), predicted: nameOf(top[at]), p: p[at] / 0xffff,
    foreground: foregroundOf(at), cluster: clusterOf(at),
  };
}

export const nameAt = (at: number): string => `${images.path[image[at]]}:${Math.floor(cell[at] / width)},${cell[at] % width}`;
export const imageAt = (at: number): number => image[at];

/** What points can be coloured by: a value of each as text, or a share where the colour is a ramp. */
export interface Colouring { key: string; title: string; text?: (at: number) => string; share?: (at: number) => number }

export function colourings(): Colouring[] {
  const hasHead = top.some((label) => label !== NONE);
  const found: Colouring[] = hasHead ? [{ key: "predicted", title: "predicted class", text: (at) => nameOf(top[at]) }] : [];
  const isAnnotated = foreground.some((value) => value < 2);
  found.push({ key: "label", title: "class of the image", text: (at) => labelOf(image[at]) });
  if (isAnnotated) found.push({ key: "foreground", title: "foreground", text: foregroundOf });
  if (hasHead) found.push({ key: "score", title: "probability", share: (at) => p[at] / 0xffff });
  found.push({ key: "cluster", title: "cluster", text: clusterOf });
  if (images.split.some(Boolean)) found.push({ key: "split", title: "split", text: (at) => images.split[image[at]] ?? "none" });
  const keys = new Set<string>(images.metadata.flatMap((each: object) => Object.keys(each)));
  for (const key of keys) found.push({ key: `m.${key}`, title: key, text: (at) => String(images.metadata[image[at]][key] ?? "none") });
  return found;
}

/** The columns that the map's search box knows. */
export function asked(): Field[] {
  const about = (row: number): Record<string, unknown> => images.metadata[row];
  const ofImages = metadataFields(about, images.path.length, NAMES).map((each): Field => ({ ...each, values: (at) => each.values(image[at]) }));
  return [...NAMES, ...ofImages];
}

const NAMES: Field[] = [
  { name: "path", kind: "text", values: (at) => [images.path[image[at]]], about: "the file of its image" },
  { name: "label", kind: "text", values: (at) => both(labelOf(image[at])), about: "the class of its image" },
  { name: "predicted", kind: "text", values: (at) => (top[at] === NONE ? [] : both(nameOf(top[at]))), about: "the class it is taken for" },
  { name: "p", kind: "share", values: (at) => [p[at] / 0xffff], about: "the probability of that class" },
  { name: "foreground", kind: "text", values: (at) => [["no", "yes", null][foreground[at]]], about: "yes or no" },
  { name: "cluster", kind: "number", values: (at) => [cluster[at] || null], about: "its number" },
  { name: "split", kind: "text", values: (at) => [images.split[image[at]]], about: "the part of the dataset" },
];
export const says = (at: number): string => `${images.path[image[at]]} ${labelOf(image[at])} ${nameOf(top[at])}`;

/** A colour as 0xAABBGGRR, the way a canvas keeps it. */
const pixel = (hex: string) =>
  (0xff000000 | (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16)) >>> 0;
const REST = pixel(GREY);
const FAINT = 0x38000000 | (REST & 0xffffff);

/** What lies on what: faint points below, grey ones above them, coloured ones on top. */
export const layerOf = (colour: number): number => (colour >>> 24 < 0xff ? 0 : colour === REST ? 1 : 2);

/** The colours with those of the points faint that a search did not find. */
export function faded(colours: Uint32Array, fits: (at: number) => boolean): Uint32Array {
  return colours.map((colour, at) => (fits(at) ? colour : FAINT));
}

/** Every point's colour as 0xAABBGGRR, and what the colours stand for, the commonest first. */
export function colour(by: Colouring, only: string): { colours: Uint32Array; legend: { text: string; colour: string; count: number }[] } {
  const colours = new Uint32Array(n);
  if (by.share) {
    const steps = Array.from({ length: 65 }, (_, step) => pixel(ramp(step / 64)));
    for (let at = 0; at < n; at++) colours[at] = steps[Math.round(by.share(at) * 64)];
    return { colours, legend: [0, 0.25, 0.5, 0.75, 1].map((step) => ({ text: `${100 * step} %`, colour: ramp(step), count: -1 })) };
  }
  const texts = Array.from({ length: n }, (_, at) => by.text!(at));
  const ranked = rank(texts);
  if (by.key === "cluster") { // the most suspicious first, as in the table
    const order = new Map([...owners.keys()].map((number, place) => [clusterName(number), place]));
    ranked.sort((a, b) => (order.get(a.value) ?? 1e9) - (order.get(b.value) ?? 1e9));
  }
  const legend = ranked.map(({ value, count }, at) => ({ text: value, count, colour: value === NO_CLUSTER ? GREY : colourAt(at) }));
  const chosen = legend.find((each) => each.text === only);
  if (chosen && chosen.colour === GREY) chosen.colour = colourAt(0);
  const of = new Map(legend.map((each) => [each.text, only && each !== chosen ? FAINT : pixel(each.colour)]));
  for (let at = 0; at < n; at++) colours[at] = of.get(texts[at])!;
  return { colours, legend };
}

// ------------------------------------------------------------------------------- by place

const SIDE = 256; // buckets along each side
const starts = new Uint32Array(SIDE * SIDE + 1);
const order = new Uint32Array(n);
const bucket = (at: number) => (ys[at] >> 8) * SIDE + (xs[at] >> 8);
for (let at = 0; at < n; at++) starts[bucket(at) + 1]++;
for (let at = 0; at < SIDE * SIDE; at++) starts[at + 1] += starts[at];
const next = starts.slice();
for (let at = 0; at < n; at++) order[next[bucket(at)]++] = at;

/** The point nearest to a place, within a reach; -1 where there is none. */
export function nearestTo(x: number, y: number, reach: number): number {
  let [found, least] = [-1, reach * reach];
  const low = (value: number) => Math.max(Math.floor((value - reach) / 256), 0);
  const high = (value: number) => Math.min(Math.floor((value + reach) / 256), SIDE - 1);
  for (let row = low(y); row <= high(y); row++) {
    for (let at = starts[row * SIDE + low(x)]; at < starts[row * SIDE + high(x) + 1]; at++) {
      const far = (xs[order[at]] - x) ** 2 + (ys[order[at]] - y) ** 2;
      if (far < least) [found, least] = [order[at], far];
    }
  }
  return found;
}

/** The points inside a polygon of x, y in turn. */
export function within(polygon: number[]): number[] {
  const found: number[] = [];
  for (let at = 0; at < n; at++) {
    let isInside = false;
    const [x, y] = [xs[at], ys[at]];
    for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
      const [x1, y1, x2, y2] = [polygon[i], polygon[i + 1], polygon[j], polygon[j + 1]];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) isInside = !isInside;
    }
    if (isInside) found.push(at);
  }
  return found;
}

/** The cluster, by its name, that most of these cells belong to; empty where they are in none. */
export function clusterWith(names: string[]): string {
  const wanted = new Set(names);
  const found: string[] = [];
  for (let at = 0; at < n; at++) if (cluster[at] && wanted.has(nameAt(at))) found.push(clusterOf(at));
  return rank(found)[0]?.value ?? "";
}

/** The middle of each cluster, the most suspicious first. */
export function middles(most: number): { number: number; x: number; y: number; text: string }[] {
  return (map?.clusters ?? []).slice(0, most).flatMap((each: any) => {
    const own: number[] = [];
    for (let at = 0; at < n; at++) if (cluster[at] === each.number) own.push(at);
    if (!own.length) return [];
    const middle = (values: Uint16Array) => own.map((at) => values[at]).sort((a, b) => a - b)[own.length >> 1];
    return [{ number: each.number, x: middle(xs), y: middle(ys), text: clusterName(each.number) }];
  });
}
