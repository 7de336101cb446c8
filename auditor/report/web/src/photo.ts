// Photographs on canvases: whole, occluded as the network saw them, one cell alone, cells framed.

import { data, ensure, height, pictureOf, shown, width } from "./data";

const loaded = new Map<number, Promise<HTMLImageElement>>();
const KEPT = 400; // decoded pictures

export function photo(place: number): Promise<HTMLImageElement> {
  let waiting = loaded.get(place);
  if (!waiting) {
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value!);
    waiting = decoded(place);
    loaded.set(place, waiting);
  }
  return waiting;
}

async function decoded(place: number): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = await pictureOf(place);
  await image.decode();
  return image;
}

/** The runs of COCO's compressed code: lengths of background and foreground in turn, column by column. */
function runs(code: string): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < code.length; ) {
    let [value, shift, more] = [0, 0, true];
    while (more) {
      const bits = code.charCodeAt(at++) - 48;
      value |= (bits & 0x1f) << shift;
      shift += 5;
      more = (bits & 0x20) !== 0;
      if (!more && bits & 0x10) value |= -1 << shift;
    }
    if (lengths.length > 2) value += lengths[lengths.length - 2];
    lengths.push(value);
  }
  return lengths;
}

/** What a variant lays over an image, a square of `data.side` pixels: pixels that it occludes, no others. */
function cover(code: string, hidesForeground: boolean): HTMLCanvasElement {
  const side = data.side;
  const [red, green, blue] = data.fill.colour ?? [128, 128, 128];
  const canvas = document.createElement("canvas"); // a picture beside a page may be drawn on, but not read
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d")!;
  const pixels = context.createImageData(side, side);
  let at = 0;
  runs(code).forEach((length, turn) => {
    for (let end = at + length; at < end; at++) {
      if ((turn % 2 === 1) === hidesForeground) pixels.data.set([red, green, blue, 255], 4 * ((at % side) * side + Math.floor(at / side)));
    }
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** Draw an image as a variant has it; the canvas takes the size of the crop. */
export async function drawVariant(canvas: HTMLCanvasElement, place: number, variant: number): Promise<void> {
  const [image] = await Promise.all([photo(place), ensure(place)]);
  canvas.width = canvas.height = data.side;
  const context = canvas.getContext("2d")!;
  context.drawImage(image, 0, 0, data.side, data.side);
  const name = data.variants[variant];
  const mask = data.images.mask[place];
  if (name === "original" || !mask) return;
  context.drawImage(cover(mask, name === "without_fg"), 0, 0);
}

/** The lines between cells that are inside and those that are not, as a path in a square of `side`. */
export function outline(isInside: (cell: number) => boolean, side: number): string {
  const inside = (row: number, col: number) => row >= 0 && col >= 0 && row < height && col < width && isInside(row * width + col);
  const [dx, dy] = [side / width, side / height];
  let path = "";
  for (let row = 0; row <= height; row++) {
    for (let col = 0; col <= width; col++) {
      if (col < width && inside(row, col) !== inside(row - 1, col)) path += `M${col * dx} ${row * dy}h${dx}`;
      if (row < height && inside(row, col) !== inside(row, col - 1)) path += `M${col * dx} ${row * dy}v${dy}`;
    }
  }
  return path;
}

/** Tint and outline the cells that show a class in a variant. */
export function frameHits(canvas: HTMLCanvasElement, place: number, variant: number, label: number): void {
  const context = canvas.getContext("2d")!;
  const path = new Path2D(outline((cell) => shown(place, variant, cell).label === label, data.side));
  context.fillStyle = "rgb(255 226 112 / 24%)";
  const [dx, dy] = [data.side / width, data.side / height];
  for (let cell = 0; cell < height * width; cell++) {
    if (shown(place, variant, cell).label === label) context.fillRect((cell % width) * dx, Math.floor(cell / width) * dy, dx, dy);
  }
  const unit = data.side / 224; // lines of the same look on crops of every size
  for (const [colour, line] of [["#11141a", 6], ["#ffe270", 3]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = line * unit;
    context.lineCap = "square";
    context.stroke(path);
  }
}

/** One cell with some of its surroundings, framed. */
export async function drawCell(canvas: HTMLCanvasElement, place: number, cell: number): Promise<void> {
  const image = await photo(place);
  const size = (canvas.width = canvas.height = 160);
  const context = canvas.getContext("2d")!;
  const [row, col] = [Math.floor(cell / width), cell % width];
  const [dx, dy] = [image.width / width, image.height / height];
  const reach = 2.2; // cells shown across
  const [w, h] = [Math.min(reach * dx, image.width), Math.min(reach * dy, image.height)];
  const x = Math.min(Math.max((col + 0.5) * dx - w / 2, 0), image.width - w);
  const y = Math.min(Math.max((row + 0.5) * dy - h / 2, 0), image.height - h);
  context.drawImage(image, x, y, w, h, 0, 0, size, size);
  for (const [colour, line] of [["#11141a", 5], ["#ffe270", 2.5]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(((col * dx - x) / w) * size, ((row * dy - y) / h) * size, (dx / w) * size, (dy / h) * size);
  }
}
