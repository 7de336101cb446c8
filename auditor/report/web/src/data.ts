// What the page carries, read once: the JSON that Python wrote, and its packed arrays.

export const NONE = 0xffff;
const SCALE = 0xffff;
const NOWHERE = 0xffffffff;
export const BEST = 5;

export type Columns = Record<string, any[]>;

export interface Finding {
  rank: number; subject: string; sentence: string; command: string; hits: number; total: number;
  interval: [number, number] | null; q: number | null; cells: string[]; variant: string;
}

interface Raw {
  index: string; grid: [number, number]; side: number; variants: string[];
  fill: { name: string; colour: [number, number, number] | null };
  names: string[]; synsets: (string | null)[];
  classes: Columns | null; accuracy: Columns | null;
  definitions: Record<string, { title: string; definition: string; source: string }>;
  findings: Finding[]; carried: string;
  images: Columns; cells: Record<string, string>;
  near: { images: number; k: number; cell: string; cosine: string };
  others: { index: string; answers: Record<string, string> }[];
  map: any | null; charts: Record<string, Columns>;
}

function read<T>(id: string, otherwise: T): T {
  const text = document.getElementById(id)?.textContent;
  return text ? (JSON.parse(text) as T) : otherwise;
}

export function unpack(text: string): Uint8Array {
  const bytes = atob(text);
  const array = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) array[i] = bytes.charCodeAt(i);
  return array;
}

export const words16 = (text: string): Uint16Array => new Uint16Array(unpack(text).buffer);
export const words32 = (text: string): Uint32Array => new Uint32Array(unpack(text).buffer);

export const data = read<Partial<Raw>>("data", {}) as Raw;
export const pictures = read<string[]>("pictures", []);
export const isWhole = data.grid !== undefined; // a page of nothing has no data

export const [height, width] = data.grid ?? [1, 1];
export const perImage = height * width;
export const count = pictures.length;
const others = Math.max((data.variants?.length ?? 1) - 1, 0);

const cells = data.cells ?? { top: "", p: "", top_occluded: "", p_occluded: "", foreground: "" };
const top = words16(cells.top);
const p = words16(cells.p);
const topOccluded = words16(cells.top_occluded);
const pOccluded = words16(cells.p_occluded);
const foreground = unpack(cells.foreground);
const nearCell = data.near ? words32(data.near.cell) : new Uint32Array();
const nearCosine = data.near ? words16(data.near.cosine) : new Uint16Array();

/** A class's name as people say it: of several synonyms the first. */
export const nameOf = (label: number | null): string =>
  label === null || label === NONE || label < 0 ? "none" : data.names[label] ?? `class ${label}`;
export const shortName = (name: string): string => name.split(",")[0];

/** The first class of a cell in a variant, and its probability. */
export function shown(image: number, variant: number, cell: number): { label: number; p: number } {
  const at = variant === 0 ? (image * perImage + cell) * BEST : (image * others + variant - 1) * perImage + cell;
  const [labels, shares] = variant === 0 ? [top, p] : [topOccluded, pOccluded];
  return { label: labels[at], p: shares[at] / SCALE };
}

export function best(image: number, cell: number): { label: number; p: number }[] {
  const start = (image * perImage + cell) * BEST;
  const found = [];
  for (let i = start; i < start + BEST; i++) if (top[i] !== NONE) found.push({ label: top[i], p: p[i] / SCALE });
  return found;
}

/** Whether a cell is foreground; null where nothing is annotated. */
export function isForeground(image: number, cell: number): boolean | null {
  const value = foreground[image * perImage + cell];
  return value > 1 ? null : value === 1;
}

/** The variants that were run of an image: all of them where it is annotated. */
export function variantsOf(image: number): number[] {
  const all = data.variants.map((_, number) => number);
  return all.filter((variant) => variant === 0 || shown(image, variant, 0).label !== NONE);
}

/** The nearest cells in the other images that were compared; null where the cell's image was not. */
export function nearest(image: number, cell: number): { image: number; cell: number; cosine: number }[] | null {
  if (image >= data.near.images) return null;
  const k = data.near.k;
  const start = (image * perImage + cell) * k;
  const found = [];
  for (let i = start; i < start + k; i++) {
    const at = nearCell[i];
    if (at !== NOWHERE) found.push({ image: Math.floor(at / perImage), cell: at % perImage, cosine: nearCosine[i] / SCALE });
  }
  return found;
}

export const cellName = (path: string, cell: number): string => `${path}:${Math.floor(cell / width)},${cell % width}`;

export function parseCell(name: string): { path: string; cell: number } {
  const match = /^(.*):(\d+),(\d+)$/s.exec(name);
  return match ? { path: match[1], cell: Number(match[2]) * width + Number(match[3]) } : { path: name, cell: -1 };
}

const places = new Map<string, number>((data.images?.path ?? []).map((path: string, place: number) => [path, place]));
/** The place of an image among those that the page carries. */
export const placeOf = (path: string): number | undefined => places.get(path);

export const labelsOf = (image: number): number[] => data.images.labels[image] ?? [];
export const predictedOf = (image: number): number | null => data.images.predicted[image];
export function isRight(image: number): boolean | null {
  const [labels, predicted] = [labelsOf(image), predictedOf(image)];
  return labels.length && predicted !== null ? labels.includes(predicted) : null;
}

export const labelName = (image: number): string => {
  const label = data.images.label[image];
  return label === null ? data.images.true_name[image] ?? "no label" : nameOf(label);
};
