// Where the map's points lie on a canvas, what stands above them, and the points where no GPU draws them.

import { layerOf, n, RANGE, xs, ys } from "./points";

export interface View { x: number; y: number; zoom: number } // the middle in [0, RANGE], and how much larger than whole

export const WHOLE: View = { x: RANGE / 2, y: RANGE / 2, zoom: 1 };
const MARGIN = 0.94; // of the canvas that the whole map takes

/** Pixels per unit of the map on a canvas of this size. */
export const scaleOf = (view: View, width: number, height: number): number => (view.zoom * MARGIN * Math.min(width, height)) / RANGE;

export function toScreen(view: View, width: number, height: number, x: number, y: number): [number, number] {
  const scale = scaleOf(view, width, height);
  return [(x - view.x) * scale + width / 2, (view.y - y) * scale + height / 2];
}

export function toMap(view: View, width: number, height: number, px: number, py: number): [number, number] {
  const scale = scaleOf(view, width, height);
  return [(px - width / 2) / scale + view.x, view.y - (py - height / 2) / scale];
}

/** A point's side in pixels. */
export function sizeOf(view: View): number {
  const ratio = window.devicePixelRatio || 1;
  return Math.max(1, Math.round(ratio * Math.min((n > 30_000 ? 1.4 : 2.4) * Math.sqrt(view.zoom), 6)));
}

export type Paint = (view: View, colours: Uint32Array) => void;

/** Draw every point as a small square in its colour, straight into pixels; what is faint first. */
export function drawPoints(canvas: HTMLCanvasElement, view: View, colours: Uint32Array): void {
  const context = canvas.getContext("2d", { willReadFrequently: true })!; // pixels, never the GPU
  const { width, height } = canvas;
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const scale = scaleOf(view, width, height);
  const size = sizeOf(view);
  const [left, upper] = [width / 2 - view.x * scale - size / 2, height / 2 + view.y * scale - size / 2];
  for (const pass of [0, 1, 2]) { // what is coloured lies on what is grey
    for (let at = 0; at < n; at++) {
      if (layerOf(colours[at]) !== pass) continue;
      const [px, py] = [(left + xs[at] * scale) | 0, (upper - ys[at] * scale) | 0];
      if (px < 0 || py < 0 || px + size > width || py + size > height) continue;
      for (let row = py * width; row < (py + size) * width; row += width) pixels.fill(colours[at], row + px, row + px + size);
    }
  }
  context.putImageData(picture, 0, 0);
}

/** A lasso and the names of clusters above the points. */
export function drawOver(canvas: HTMLCanvasElement, view: View, polygon: number[], names: { x: number; y: number; text: string }[], marked: number): void {
  const context = canvas.getContext("2d")!;
  const { width, height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(document.documentElement);
  const [ink, paper, accent] = ["--ink", "--paper", "--accent"].map((name) => style.getPropertyValue(name));
  if (polygon.length > 2) {
    context.beginPath();
    for (let i = 0; i < polygon.length; i += 2) context.lineTo(...toScreen(view, width, height, polygon[i], polygon[i + 1]));
    context.closePath();
    context.strokeStyle = accent;
    context.lineWidth = 2 * ratio;
    context.stroke();
    context.globalAlpha = 0.12;
    context.fillStyle = accent;
    context.fill();
    context.globalAlpha = 1;
  }
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  const taken: [number, number, number][] = [];
  for (const { x, y, text } of names) {
    const [px, py] = toScreen(view, width, height, x, y);
    const half = context.measureText(text).width / 2;
    if (taken.some(([qx, qy, other]) => Math.abs(px - qx) < half + other && Math.abs(py - qy) < 14 * ratio)) continue;
    taken.push([px, py, half]);
    context.lineWidth = 4 * ratio;
    context.strokeStyle = paper;
    context.strokeText(text, px, py - 12 * ratio);
    context.fillStyle = ink;
    context.fillText(text, px, py - 12 * ratio);
  }
  if (marked >= 0) {
    const [px, py] = toScreen(view, width, height, xs[marked], ys[marked]);
    context.beginPath();
    context.arc(px, py, 6 * ratio, 0, 2 * Math.PI);
    context.lineWidth = 2 * ratio;
    context.strokeStyle = ink;
    context.stroke();
  }
}
