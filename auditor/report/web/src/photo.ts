// Photographs on canvases: whole, occluded as the network saw them, one cell alone, cells framed.

import { data, height, pictures, shown, width } from "./data";

const loaded = new Map<number, Promise<HTMLImageElement>>();
const KEPT = 400; // decoded pictures

export const sourceOf = (place: number): string => `data:image/webp;base64,${pictures[place]}`;

export function photo(place: number): Promise<HTMLImageElement> {
  let waiting = loaded.get(place);
  if (!waiting) {
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value!);
    const image = new Image();
    image.src = sourceOf(place);
    waiting = image.decode().then(() => image);
    loaded.set(place, waiting);
  }
  return waiting;
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

/** Colour the pixels that a variant occludes, in a square of `data.side` pixels. */
function occlude(pixels: ImageData, code: string, hidesForeground: boolean): void {
  const side = data.side;
  const [red, green, blue] = data.fill.colour ?? [128, 128, 128];
  let at = 0;
  runs(code).forEach((length, turn) => {
    const isForeground = turn % 2 === 1;
    for (let end = at + length; at < end; at++) {
      if (isForeground !== hidesForeground) continue;
      const pixel = 4 * ((at % side) * side + Math.floor(at / side));
      pixels.data[pixel] = red;
      pixels.data[pixel + 1] = green;
      pixels.data[pixel + 2] = blue;
    }
  });
}

/** Draw an image as a variant has it; the canvas takes the size of the crop. */
export async function drawVariant(canvas: HTMLCanvasElement, place: number, variant: number): Promise<void> {
  const image = await photo(place);
  canvas.width = canvas.height = data.side;
  const context = canvas.getContext("2d")!;
  context.drawImage(image, 0, 0, data.side, data.side);
  const name = data.variants[variant];
  const mask = data.images.mask[place];
  if (name === "original" || !mask) return;
  const pixels = context.getImageData(0, 0, data.side, data.side);
  occlude(pixels, mask, name === "without_fg");
  context.putImageData(pixels, 0, 0);
}

/** Frame the cells that show a class in a variant; returns how many there are. */
export function frameHits(canvas: HTMLCanvasElement, place: number, variant: number, label: number): number {
  const context = canvas.getContext("2d")!;
  let hits = 0;
  for (let cell = 0; cell < height * width; cell++) {
    if (shown(place, variant, cell).label !== label) continue;
    frame(context, cell, data.side);
    hits++;
  }
  return hits;
}

function frame(context: CanvasRenderingContext2D, cell: number, side: number): void {
  const [row, col] = [Math.floor(cell / width), cell % width];
  const box = [(col * side) / width + 2, (row * side) / height + 2, side / width - 4, side / height - 4] as const;
  for (const [colour, line] of [["#11141a", 4], ["#ffe270", 2]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(...box);
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
