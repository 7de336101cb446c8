// The map: move, zoom, point, and draw a line around what looks odd.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { cellName, data, shortName } from "./data";
import { CellCrop } from "./canvas";
import { copy, save, share, times, whole } from "./format";
import { painter } from "./gpu";
import { drawOver, drawPoints, scaleOf, toMap, WHOLE, type Paint, type View } from "./plot";
import { SearchBox } from "./box";
import { asked, colour, colourings, faded, imageAt, middles, n, nameAt, nearestTo, point, says, within } from "./points";
import { parse } from "./search";
import { rank } from "./colours";
import { change, useHash } from "./state";
import { openImage } from "./panel";

const PART = "map";
const NAMED = 20; // clusters with their names on the map
const LISTED = 10; // classes of a lasso
const SHOWN = 12; // crops of a lasso
const CORNERS = 60; // of a lasso in the hash

const ways = colourings();
const names = middles(NAMED);
const ASKED = asked();

const toHash = (polygon: number[]): string => polygon.map((value) => Math.round(value / 16).toString(36)).join(".");
const fromHash = (text: string | undefined): number[] => (text ? text.split(".").map((each) => parseInt(each, 36) * 16) : []);

function thin(polygon: number[]): number[] {
  const corners = polygon.length / 2;
  const step = Math.max(1, Math.ceil(corners / CORNERS));
  return Array.from({ length: corners }, (_, at) => at).filter((at) => at % step === 0).flatMap((at) => [polygon[2 * at], polygon[2 * at + 1]]);
}

function Hint({ at }: { at: number }) {
  if (at < 0) return <div class="hint"><span class="note">Point at a cell to see it; click it to open its image.</span></div>;
  const { path, cell, place, label, predicted, p, foreground, cluster } = point(at);
  return (
    <div class="hint">
      {place !== undefined && <CellCrop place={place} cell={cell} label={`cell ${cellName(path, cell)}`} />}
      <span><strong>{shortName(predicted)}</strong> {share(p)} %<br />in an image of {shortName(label)}<br />{foreground}, {cluster}<br /><small>{cellName(path, cell)}{place === undefined ? " (not on this page)" : ""}</small></span>
    </div>
  );
}

const counted = (texts: string[]) => new Map(rank(texts).map((each) => [each.value, each.count]));
const labels = Array.from({ length: n }, (_, at) => point(at).label);
const everywhere = counted(labels);

function Enrichment({ chosen }: { chosen: number[] }) {
  const found = rank(chosen.map((at) => labels[at]));
  return (
    <table>
      <caption>Images' classes, and how much commoner than on the whole map</caption>
      <thead><tr><th scope="col">Class</th><th scope="col" class="number">Cells</th><th scope="col" class="number">%</th><th scope="col" class="number">Lift</th></tr></thead>
      <tbody>
        {found.slice(0, LISTED).map(({ value, count }) => (
          <tr><th scope="row">{shortName(value)}</th><td class="number">{whole(count)}</td><td class="number">{share(count / chosen.length)}</td>
            <td class="number">{times(count / chosen.length / (everywhere.get(value)! / n))}</td></tr>
        ))}
      </tbody>
    </table>
  );
}

function Lassoed({ polygon, fits, onClear }: { polygon: number[]; fits: (at: number) => boolean; onClear: () => void }) {
  const chosen = useMemo(() => within(polygon).filter(fits), [polygon.join(), fits]);
  const [isCopied, setCopied] = useState(false);
  const cells = () => JSON.stringify({ name: "lasso", cells: chosen.map(nameAt) }, null, 1);
  const shown = chosen.filter((at) => point(at).place !== undefined);
  const step = Math.max(1, Math.floor(shown.length / SHOWN));
  const crops = shown.filter((_, at) => at % step === 0).slice(0, SHOWN);
  return (
    <div data-chosen={chosen.length}>
      <h3>{whole(chosen.length)} cells of {whole(new Set(chosen.map(imageAt)).size)} images</h3>
      <p class="actions">
        <button onClick={() => void copy(cells()).then(() => setCopied(true))}>{isCopied ? "Copied" : "Copy for audit concept"}</button>
        <button onClick={() => save("lasso.json", cells())}>JSON</button>
        <button onClick={onClear}>Clear</button>
      </p>
      {chosen.length > 0 && <Enrichment chosen={chosen} />}
      <ul class="crops">
        {crops.map((at) => {
          const { path, cell, place } = point(at);
          return <li key={at}><button onClick={() => openImage(place!, cell)} title={cellName(path, cell)}><CellCrop place={place!} cell={cell} label={cellName(path, cell)} /></button></li>;
        })}
      </ul>
    </div>
  );
}

export function CellMap() {
  const state = useHash();
  const by = ways.find((each) => each.key === state.colour) ?? ways[0];
  const only = state.only ?? "";
  const { colours: plain, legend } = useMemo(() => colour(by, only), [by, only]);
  const query = useMemo(() => parse(state.cells ?? "", ASKED, says), [state.cells]);
  const colours = useMemo(() => (state.cells ? faded(plain, query.fits) : plain), [plain, query]);
  const points = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const paint = useRef<Paint | null>(null);
  const view = useRef<View>(WHOLE);
  const drawn = useRef<number[]>([]); // the lasso while it is drawn
  const drag = useRef<{ x: number; y: number; view: View; hasMoved: boolean } | null>(null);
  const [mode, setMode] = useState<"move" | "lasso">("move");
  const [marked, setMarked] = useState(-1);
  const polygon = fromHash(state.lasso);
  const waiting = useRef(0);
  const size = () => [points.current!.width, points.current!.height] as const;

  const draw = () => {
    cancelAnimationFrame(waiting.current);
    waiting.current = requestAnimationFrame(() => {
      if (!points.current?.width || !paint.current) return;
      paint.current!(view.current, colours);
      const shape = drawn.current.length ? drawn.current : polygon;
      drawOver(over.current!, view.current, shape, by.key === "cluster" ? names : [], marked);
    });
  };
  useEffect(() => {
    const canvas = points.current!;
    paint.current = painter(canvas, () => redraw.current()) ?? ((...of) => drawPoints(canvas, ...of));
  }, []);
  useEffect(draw);
  useEffect(() => {
    const fit = () => {
      const ratio = window.devicePixelRatio || 1;
      for (const canvas of [points.current!, over.current!]) {
        canvas.width = Math.round(canvas.clientWidth * ratio);
        canvas.height = Math.round(canvas.clientHeight * ratio);
      }
      draw();
    };
    const watcher = new ResizeObserver(fit);
    watcher.observe(points.current!);
    return () => watcher.disconnect();
  }, []);
  const redraw = useRef(draw);
  redraw.current = draw;
  useEffect(() => {
    const box = over.current!;
    const wheel = (event: WheelEvent) => {
      if (document.activeElement !== box && !event.ctrlKey) return; // else the page scrolls
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 400), place(event));
    };
    box.addEventListener("wheel", wheel, { passive: false });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const again = () => redraw.current();
    scheme.addEventListener("change", again);
    return () => {
      box.removeEventListener("wheel", wheel);
      scheme.removeEventListener("change", again);
    };
  }, []);

  const place = (event: MouseEvent): [number, number] => {
    const box = over.current!.getBoundingClientRect();
    const ratio = over.current!.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };
  const zoom = (factor: number, at?: [number, number]) => {
    const [px, py] = at ?? [size()[0] / 2, size()[1] / 2];
    const [x, y] = toMap(view.current, ...size(), px, py);
    const zoomed = { ...view.current, zoom: Math.min(Math.max(view.current.zoom * factor, 0.8), 60) };
    const [x2, y2] = toMap(zoomed, ...size(), px, py);
    view.current = { ...zoomed, x: zoomed.x + x - x2, y: zoomed.y + y - y2 };
    redraw.current();
  };
  const press = (event: PointerEvent) => {
    over.current!.setPointerCapture(event.pointerId);
    const [x, y] = place(event);
    drag.current = { x, y, view: view.current, hasMoved: false };
    drawn.current = mode === "lasso" || event.shiftKey ? toMap(view.current, ...size(), x, y) : [];
  };
  const move = (event: PointerEvent) => {
    const [x, y] = place(event);
    const began = drag.current;
    if (began && Math.hypot(x - began.x, y - began.y) > 4) began.hasMoved = true;
    if (began && drawn.current.length) {
      drawn.current.push(...toMap(view.current, ...size(), x, y));
    } else if (began?.hasMoved) {
      const scale = scaleOf(began.view, ...size());
      view.current = { ...began.view, x: began.view.x - (x - began.x) / scale, y: began.view.y + (y - began.y) / scale };
    } else if (!began) {
      const [mx, my] = toMap(view.current, ...size(), x, y);
      setMarked(nearestTo(mx, my, 10 / scaleOf(view.current, ...size())));
    }
    if (began) draw();
  };
  const release = () => {
    if (drawn.current.length > 8) change({ lasso: toHash(thin(drawn.current)) }, PART);
    else if (drag.current && !drag.current.hasMoved && marked >= 0) {
      const { place: at, cell } = point(marked);
      if (at !== undefined) openImage(at, cell);
    }
    drawn.current = [];
    drag.current = null;
    draw();
  };
  const keys = (event: KeyboardEvent) => {
    const step = 60 / scaleOf(view.current, ...size());
    const moves: Record<string, [number, number]> = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key === "+" || event.key === "=") zoom(1.4);
    else if (event.key === "-") zoom(1 / 1.4);
    else if (event.key in moves) view.current = { ...view.current, x: view.current.x + moves[event.key][0], y: view.current.y + moves[event.key][1] };
    else return;
    event.preventDefault();
    draw();
  };
  const set = (name: string, others = {}) => (event: Event) => change({ ...others, [name]: (event.target as HTMLSelectElement).value }, PART);
  const total = data.map.cells as number;
  return (
    <>
      <p class="count">{n < total ? `${whole(n)} of ${whole(total)} cells, a sample drawn with seed ${data.map.seed}` : `All ${whole(n)} cells`}; those that look alike to the network lie together. Click the map, then the wheel zooms; draw around cells with Lasso, or with Shift.</p>
      <div class="controls">
        <label>Colour by<select value={by.key} onChange={set("colour", { only: "" })}>{ways.map((each) => <option value={each.key}>{each.title}</option>)}</select></label>
        {by.text && <label>Show only<select value={only} onChange={set("only")}><option value="">all</option>{legend.map((each) => <option value={each.text}>{shortName(each.text)} ({each.count})</option>)}</select></label>}
        <SearchBox title="Find cells" value={state.cells ?? ""} wrong={query.wrong} example="foreground=no p>0.9" fields={ASKED} onChange={(cells) => change({ cells }, PART)} />
        <span class="segments" role="group" aria-label="What dragging does">
          <button aria-pressed={mode === "move"} onClick={() => setMode("move")}>Move</button>
          <button aria-pressed={mode === "lasso"} onClick={() => setMode("lasso")}>Lasso</button>
        </span>
        <span class="segments" role="group" aria-label="Zoom">
          <button aria-label="Zoom out" onClick={() => zoom(1 / 1.6)}>−</button>
          <button onClick={() => { view.current = WHOLE; draw(); }}>Whole</button>
          <button aria-label="Zoom in" onClick={() => zoom(1.6)}>+</button>
        </span>
      </div>
      <div class="mapper">
        <div class={`plot ${mode}`}>
          <canvas class="points" ref={points} aria-hidden="true" />
          <canvas class="over" ref={over} tabIndex={0} role="img" aria-label={`Map of ${n} cells by ${by.title}; arrow keys move it, plus and minus zoom`}
            onPointerDown={press} onPointerMove={move} onPointerUp={release} onPointerLeave={() => !drag.current && setMarked(-1)} onKeyDown={keys} />
        </div>
        <div class="aside" tabIndex={0} role="region" aria-label="About the map">
          <Hint at={marked} />
          {polygon.length > 4 ? <Lassoed polygon={polygon} fits={query.fits} onClear={() => change({ lasso: "" }, PART)} /> : (
            <ul class="key">
              {legend.slice(0, by.share ? 9 : 8).map((each) => (
                <li key={each.text}>
                  <svg class="swatch" viewBox="0 0 24 18" aria-hidden="true"><rect width="24" height="18" rx="3" fill={each.colour} /></svg>
                  {by.share ? <span>{each.text}</span> : <button class="plain" aria-pressed={each.text === only} onClick={() => change({ only: each.text === only ? "" : each.text }, PART)}>{shortName(each.text)}</button>}
                  {each.count >= 0 && <span class="n">{whole(each.count)}</span>}
                </li>
              ))}
              {by.text && legend.length > 8 && <li><svg class="swatch" viewBox="0 0 24 18" aria-hidden="true"><rect width="24" height="18" rx="3" fill="#8a919b" /></svg>{legend.length - 8} more</li>}
            </ul>
          )}
        </div>
      </div>
    </>
  );
}
