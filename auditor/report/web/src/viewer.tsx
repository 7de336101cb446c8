// One image with its grid drawn from data: by class and probability, above a threshold, in every variant.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { best, cellName, count, data, height, isForeground, labelsOf, nameOf, findNearest, isLive, perImage, shortName, shown, variantsOf, width, type Near } from "./data";
import { colourAt, LETTERS, rank } from "./colours";
import { CellCrop, useCells } from "./canvas";
import { copy, share } from "./format";
import { drawVariant, outline } from "./photo";
import { change, useHash } from "./state";
import { openImage } from "./panel";

const TITLES: Record<string, string> = { original: "original", without_bg: "w/o background", without_fg: "w/o foreground" };
const SIDE = 700; // of the drawing's own coordinates
const LETTERED = 20; // cells across; on finer grids letters would be dust
const cells = Array.from({ length: perImage }, (_, cell) => cell);

const box = (cell: number) => ({
  x: ((cell % width) * SIDE) / width, y: (Math.floor(cell / width) * SIDE) / height, width: SIDE / width, height: SIDE / height,
});

interface Look { place: number; variant: number; least: number; cell: number; asked: number | null; onHover: (cell: number) => void }

function Stage({ place, variant, least, cell, asked, onHover }: Look) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => void drawVariant(canvas.current!, place, variant), [place, variant]);
  const seen = useMemo(() => cells.map((each) => shown(place, variant, each)), [place, variant]);
  const places = useMemo(() => new Map(rank(seen.map((each) => each.label)).map((each, at) => [each.value, at])), [seen]);
  const line = useMemo(() => outline((each) => isForeground(place, each) === true, SIDE), [place]);
  const size = Math.min(SIDE / width / 2.6, 34);
  const move = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = cell < 0 ? 0 : cell + steps[event.key];
    if (next >= 0 && next < perImage) change({ cell: String(next) });
  };
  return (
    <div class="stage">
      <canvas ref={canvas} />
      <svg viewBox={`0 0 ${SIDE} ${SIDE}`} tabIndex={0} role="img" aria-label="Grid over the image; arrow keys choose a cell" onKeyDown={move} onMouseLeave={() => onHover(-1)}>
        {cells.map((each) => {
          const { label, p } = seen[each];
          const isShown = p >= least && places.has(label);
          const at = places.get(label) ?? 99;
          const { x, y } = box(each);
          return (
            <g key={each}>
              <rect {...box(each)} data-cell={each} fill={colourAt(at)} fill-opacity={isShown ? 0.12 + 0.5 * Math.sqrt(p) : 0}
                stroke="#ffffff" stroke-opacity="0.28" stroke-width="1"
                onMouseEnter={() => onHover(each)} onClick={() => change({ cell: String(each) })} />
              {isShown && label === asked && <circle cx={x + SIDE / width - 0.14 * size - 6} cy={y + 0.14 * size + 6} r={0.14 * size + 2} fill="#ffe270" stroke="#11141a" stroke-width="1.5" pointer-events="none" />}
              {isShown && width <= LETTERED && <text x={x + SIDE / width / 2} y={y + SIDE / height / 2} font-size={size} opacity={0.45 + 0.55 * p}>{LETTERS[at] ?? "·"}</text>}
            </g>
          );
        })}
        <path class="fg under" d={line} /><path class="fg" d={line} />
        {cell >= 0 && <rect class="chosen" {...box(cell)} />}
      </svg>
    </div>
  );
}

function Key({ place, variant, least }: { place: number; variant: number; least: number }) {
  const kept = cells.map((cell) => shown(place, variant, cell));
  const ranked = rank(kept.map((each) => each.label));
  const above = new Map(rank(kept.filter((each) => each.p >= least).map((each) => each.label)).map((each) => [each.value, each.count]));
  const labels = labelsOf(place);
  return (
    <ul class="key" aria-label="Classes of the cells">
      {ranked.slice(0, 10).map(({ value }, at) => (
        <li key={value}>
          <svg class="swatch" viewBox="0 0 24 18"><rect width="24" height="18" rx="3" fill={colourAt(at)} /><text x="12" y="13.5" font-size="13" text-anchor="middle" fill="#ffffff" stroke="#000000" stroke-width="2.5" paint-order="stroke">{LETTERS[at]}</text></svg>
          <span>{labels.includes(value) ? <strong>{shortName(nameOf(value))} (label)</strong> : shortName(nameOf(value))}</span>
          <span class="n">{above.get(value) ?? 0}</span>
        </li>
      ))}
      {ranked.length > 10 && <li><small>and {ranked.length - 10} more classes</small></li>}
    </ul>
  );
}

function Top({ place, variant, cell }: { place: number; variant: number; cell: number }) {
  const guesses = variant === 0 ? best(place, cell) : [shown(place, variant, cell)];
  const inside = isForeground(place, cell);
  const where = inside === null ? "" : inside ? ", foreground" : ", background";
  return (
    <div aria-live="polite">
      <h3>Cell {Math.floor(cell / width)},{cell % width}{where}</h3>
      <table class="top5"><tbody>
        {guesses.map((each) => <tr><th scope="row">{shortName(nameOf(each.label))}</th><td class="number">{share(each.p)} %</td></tr>)}
      </tbody></table>
    </div>
  );
}

function Neighbours({ place, cell }: { place: number; cell: number }) {
  const [found, setFound] = useState<Near[] | null | undefined>(undefined);
  useEffect(() => {
    let isCurrent = true; // an answer that comes late is another cell's
    setFound(undefined);
    void findNearest(place, cell).then((hits) => isCurrent && setFound(hits));
    return () => { isCurrent = false; };
  }, [place, cell]);
  const command = `audit similar --index ${data.index} --patch '${cellName(data.images.path[place], cell)}'`;
  return (
    <>
      <h3 title={isLive ? "In the whole index" : `Computed among ${data.near.images} images that this page carries; cells of other images may be nearer`}>
        {isLive ? "Its nearest cells elsewhere" : "Its nearest cells on this page"}
      </h3>
      {found === undefined ? <p class="note">Looking …</p> : found === null ? <p class="note">They were not computed for this image.</p> : found.length === 0 ? <p class="note">There are none: the cell has no content, or no other image is here.</p> : (
        <ul class="crops">
          {found.map((hit) => (
            <li key={hit.image}>
              <button onClick={() => openImage(hit.image, hit.cell)} title={cellName(data.images.path[hit.image], hit.cell)}>
                <CellCrop place={hit.image} cell={hit.cell} label={`cell of ${data.images.path[hit.image]}`} />
                <small>{hit.cosine.toFixed(3)}</small><small>{shortName(nameOf(shown(hit.image, 0, hit.cell).label))}</small>
              </button>
            </li>
          ))}
        </ul>
      )}
      {isLive ? <p class="note">By cosine among all cells of the index, one of each image.</p> : <p class="note">By cosine, one cell of each image, and only among {data.near.images === count ? `the ${count}` : `the first ${data.near.images} of ${count}`} images that this page carries. In the whole index: <button class="link" onClick={() => void copy(command)}>copy the command</button></p>}
    </>
  );
}

export function Viewer({ place }: { place: number }) {
  const state = useHash();
  const [hover, setHover] = useState(-1);
  if (!useCells(place)) return <p class="note">Reading …</p>;
  const variants = variantsOf(place);
  const variant = variants.includes(Number(state.variant)) ? Number(state.variant) : 0;
  const least = Number(state.least ?? 0) / 100;
  const cell = state.cell !== undefined && Number(state.cell) < perImage ? Number(state.cell) : -1;
  const about = hover >= 0 ? hover : cell;
  const asked = state.class !== undefined ? Number(state.class) : data.images.label[place]; // whose cells are marked
  const hasHead = data.names.length > 0;
  return (
    <div class="viewer">
      <div>
        <div class="controls">
          {variants.length > 1 && (
            <span class="segments" role="group" aria-label="Variant">
              {variants.map((each) => <button aria-pressed={each === variant} onClick={() => change({ variant: each ? String(each) : "" })}>{TITLES[data.variants[each]] ?? data.variants[each]}</button>)}
            </span>
          )}
          {hasHead && <label>Only cells above {Math.round(100 * least)} %<input type="range" min="0" max="95" step="5" value={100 * least} onInput={(event) => change({ least: (event.target as HTMLInputElement).value })} /></label>}
        </div>
        <Stage place={place} variant={variant} least={hasHead ? least : 2} cell={cell} asked={asked} onHover={setHover} />
        <p class="note">White line: annotated foreground.{asked !== null && hasHead ? ` Dot: cells predicted as ${shortName(nameOf(asked))}.` : ""}{data.variants[variant] !== "original" && data.fill.colour === null ? ` Drawn in grey here; the network saw ${data.fill.name}.` : ""}</p>
      </div>
      <div>
        {hasHead && <Key place={place} variant={variant} least={least} />}
        {about >= 0 ? (hasHead ? <Top place={place} variant={variant} cell={about} /> : <h3>Cell {Math.floor(about / width)},{about % width}</h3>) : <p class="note">Point at a cell for its classes; click it for cells like it.</p>}
        {cell >= 0 && <Neighbours place={place} cell={cell} />}
      </div>
    </div>
  );
}
