// Canvases that draw themselves when they come into view.

import { useEffect, useRef, useState } from "preact/hooks";
import { data, ensure, isLazy, pictureOf } from "./data";
import { drawCell, drawVariant, frameHits } from "./photo";

function useDrawn(draw: (canvas: HTMLCanvasElement) => Promise<void>, inputs: unknown[]) {
  const box = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      void draw(box.current!);
    });
    watcher.observe(box.current!);
    return () => watcher.disconnect();
  }, inputs);
  return box;
}

/** An image as it is; a served page asks for it when it comes into view. */
export function Picture({ place }: { place: number }) {
  const box = useRef<HTMLImageElement>(null);
  useEffect(() => {
    const fill = async () => { box.current!.src = await pictureOf(place); };
    const watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      void fill();
    }, { rootMargin: "400px" });
    watcher.observe(box.current!);
    return () => watcher.disconnect();
  }, [place]);
  return <img ref={box} width={data.side} height={data.side} alt="" />;
}

/** Whether the cells of an image are at hand; draws again once they are. */
export function useCells(place: number): boolean {
  const [ready, setReady] = useState(isLazy ? -1 : place);
  useEffect(() => void ensure(place).then(() => setReady(place)), [place]);
  return !isLazy || ready === place;
}

export function CellCrop({ place, cell, label }: { place: number; cell: number; label: string }) {
  const box = useDrawn((canvas) => drawCell(canvas, place, cell), [place, cell]);
  return <canvas ref={box} width="160" height="160" role="img" aria-label={label} />;
}

export function Variant({ place, variant, hits, label }: { place: number; variant: number; hits?: number; label: string }) {
  const draw = async (canvas: HTMLCanvasElement) => {
    await drawVariant(canvas, place, variant);
    if (hits !== undefined) frameHits(canvas, place, variant, hits);
  };
  const box = useDrawn(draw, [place, variant, hits]);
  return <canvas ref={box} width="224" height="224" role="img" aria-label={label} />;
}
