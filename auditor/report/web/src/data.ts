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
  near: { images: number; k: number; cell?: string; cosine?: string };
  live?: string; // the token by which a served page asks for more
  folder?: number; // of a page beside its data: the images whose cells lie in one script
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

declare global {
  var auditPage: Partial<Raw> | undefined; // what the scripts beside a page give it
  var auditPart: Record<string, string> | undefined;
}

export const data = (globalThis.auditPage ?? read<Partial<Raw>>("data", {})) as Raw;
export const pictures = read<string[]>("pictures", []);
export const isWhole = data.grid !== undefined; // a page of nothing has no data

export const [height, width] = data.grid ?? [1, 1];
export const perImage = height * width;
export const isLive = Boolean(data.live);
export const isLazy = isLive || Boolean(data.folder); // cells and pictures come when they are looked at
export const count = isLazy ? data.images.path.length : pictures.length;
const others = Math.max((data.variants?.length ?? 1) - 1, 0);

const cells = data.cells ?? { top: "", p: "", top_occluded: "", p_occluded: "", foreground: "" };
const room = (text: string, perImageOf: number) => (isLazy ? new Uint16Array(count * perImageOf).fill(NONE) : words16(text));
const top = room(cells.top, perImage * BEST);
const p = room(cells.p, perImage * BEST);
const topOccluded = room(cells.top_occluded, perImage * others);
const pOccluded = room(cells.p_occluded, perImage * others);
const foreground = isLazy ? new Uint8Array(count * perImage).fill(2) : unpack(cells.foreground);
const nearest = (data.near?.images ?? 0) * perImage * (data.near?.k ?? 0);
const nearCell = data.near?.cell ? words32(data.near.cell) : new Uint32Array(nearest).fill(NOWHERE);
const nearCosine = data.near?.cosine ? words16(data.near.cosine) : new Uint16Array(nearest);

// ------------------------------------------------------------------------------- a served page, and one beside its data

async function ask(target: string): Promise<Response> {
  const answer = await fetch(`/api/${target}`, { headers: { "X-Audit-Token": data.live! } });
  if (!answer.ok) throw new Error(`${target}: ${answer.status}`);
  return answer;
}

const asked = new Map<number, Promise<void>>();

/** Have an image's cells at hand: what does not carry them asks for them once. */
export function ensure(image: number): Promise<void> {
  if (!isLazy) return Promise.resolve();
  const part = data.folder ? Math.floor(image / data.folder) : image;
  if (!asked.has(part)) asked.set(part, data.folder ? load(part, part * data.folder) : fetchCells(image));
  return asked.get(part)!;
}

/** Put the cells of images from `image` on where they belong. */
function take(found: Record<string, string>, image: number): void {
  top.set(words16(found.top), image * perImage * BEST);
  p.set(words16(found.p), image * perImage * BEST);
  topOccluded.set(words16(found.top_occluded), image * perImage * others);
  pOccluded.set(words16(found.p_occluded), image * perImage * others);
  foreground.set(unpack(found.foreground), image * perImage);
}

async function fetchCells(image: number): Promise<void> {
  const found = await (await ask(`cells/${data.images.id[image]}`)).json();
  take(found, image);
  data.images.mask[image] = found.mask;
}

/** Run a script beside the page, which a page from disk may do where it may read no file. */
function load(part: number, image: number): Promise<void> {
  const script = document.createElement("script");
  return new Promise((done, fail) => {
    script.onerror = () => fail(new Error(`data/${part}.js is missing`));
    script.onload = () => {
      const found: any = globalThis.auditPart!; // set by the script that has just run
      take(found, image);
      found.mask.forEach((mask: string | null, at: number) => { data.images.mask[image + at] = mask; });
      nearCell.set(words32(found.near_cell), image * perImage * data.near.k);
      nearCosine.set(words16(found.near_cosine), image * perImage * data.near.k);
      script.remove();
      done();
    };
    script.src = `data/${part}.js`;
    document.body.append(script);
  });
}

const urls = new Map<number, Promise<string>>();

/** Where an image's picture is. */
export function pictureOf(image: number): Promise<string> {
  if (!isLive) return Promise.resolve(data.folder ? `images/${image}.webp` : `data:image/webp;base64,${pictures[image]}`);
  if (!urls.has(image)) {
    urls.set(image, ask(`picture/${data.images.id[image]}`).then((answer) => answer.blob()).then(URL.createObjectURL));
  }
  return urls.get(image)!;
}

// ------------------------------------------------------------------------------- cells

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

export interface Near { image: number; cell: number; cosine: number }

/** The nearest cells in other images: of the whole index where the page is served, else as they were computed. */
export async function findNearest(image: number, cell: number): Promise<Near[] | null> {
  if (!isLive) {
    await ensure(image);
    const near = computed(image, cell);
    await Promise.all((near ?? []).map((hit) => ensure(hit.image)));
    return near;
  }
  const found = await (await ask(`near/${data.images.id[image]}/${cell}`)).json();
  const hits = found.map((hit: { id: number; cell: number; cosine: number }) => ({ ...hit, image: data.images.id.indexOf(hit.id) }));
  const listed = hits.filter((hit: Near) => hit.image >= 0);
  await Promise.all(listed.map((hit: Near) => ensure(hit.image)));
  return listed;
}

function computed(image: number, cell: number): Near[] | null {
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
