// Canvases that draw themselves when they come into view.

import { useEffect, useRef } from "preact/hooks";
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
