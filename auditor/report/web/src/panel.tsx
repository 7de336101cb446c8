// What opens above the page: a class image by image, or one image. The hash says which.

import { useEffect, useRef, useState } from "preact/hooks";
import { data, count, isForeground, isLazy, isRight, labelName, labelsOf, nameOf, perImage, placeOf, predictedOf, shortName, shown, variantsOf } from "./data";
import { useCells, Variant } from "./canvas";
import { chance, points, share } from "./format";
import { change, useHash } from "./state";
import { rows, Interval } from "./classes";
import { Viewer } from "./viewer";

const STEP = 20;
const TITLES = ["original", "w/o background", "w/o foreground"];

export const openImage = (place: number, cell?: number): void =>
  change({ image: data.images.path[place], cell: cell === undefined ? "" : String(cell) }, undefined, true);

export const openClass = (label: number): void => change({ class: String(label), image: "", cell: "" }, undefined, true);

/** How many cells show the class: in the background with the foreground occluded, and anywhere. */
function hits(place: number, label: number): [number, number] {
  let [behind, anywhere] = [0, 0];
  for (let cell = 0; cell < perImage; cell++) {
    if (shown(place, 0, cell).label === label) anywhere++;
    if (isForeground(place, cell) === false && data.variants.length > 2 && shown(place, 2, cell).label === label) behind++;
  }
  return [behind, anywhere];
}

function imagesOf(label: number): number[] {
  if (isLazy) return Array.from({ length: count }, (_, place) => place).filter((place) => labelsOf(place).includes(label));
  const own = Array.from({ length: count }, (_, place) => place).filter((place) => labelsOf(place).includes(label));
  const ranked = own.map((place) => ({ place, hits: hits(place, label) }));
  return ranked.sort((a, b) => b.hits[0] - a.hits[0] || b.hits[1] - a.hits[1]).map((each) => each.place);
}

function Numbers({ label }: { label: number }) {
  const row = rows?.label.indexOf(label) ?? -1;
  if (row < 0) return null;
  const rates = ["top1", "loc", "fg_det", "bg_act", "bg_act_without_fg"].filter((key) => rows![`${key}_total`]?.[row]);
  const [p, least] = [rows!.q_value?.[row], rows!.least_excess?.[row]];
  return (
    <dl class="tiles">
      {rates.map((key) => {
        const [found, total] = [rows![`${key}_hits`][row], rows![`${key}_total`][row]];
        const low = rows![`${key}_interval_low`]?.[row];
        return (
          <div title={data.definitions[key]?.definition}>
            <dt>{data.definitions[key]?.title}</dt>
            <dd>{share(found / total)} % <small>{found}/{total}</small>
              {typeof low === "number" && <><Interval low={low} high={rows![`${key}_interval_high`][row]} value={found / total} /></>}</dd>
          </div>
        );
      })}
      {p !== undefined && <div title={data.definitions.q_value?.definition}><dt>q of Delta</dt><dd>{chance(p)}</dd></div>}
      {least !== undefined && <div title={data.definitions.least_excess?.definition}><dt>{data.definitions.least_excess?.title}</dt><dd>{points(least)} <small>points</small></dd></div>}
    </dl>
  );
}

/** An image in its variants, the cells that show the class marked. */
function Trio({ place, label }: { place: number; label: number }) {
  const open = (variant: number) => change({ image: data.images.path[place], variant: variant ? String(variant) : "", cell: "" }, undefined, true);
  const variants = useCells(place) ? variantsOf(place) : [0];
  return (
    <>
      {variants.map((variant) => (
        <li key={variant}>
          <button onClick={() => open(variant)}>
            <Variant place={place} variant={variant} hits={label} label={`${data.images.path[place]}, ${TITLES[variant]}`} />
            <span class="caption"><small>{variant ? TITLES[variant] : data.images.path[place]}</small></span>
          </button>
        </li>
      ))}
    </>
  );
}

function ClassPanel({ label }: { label: number }) {
  const [limit, setLimit] = useState(STEP);
  const images = imagesOf(label);
  const total = rows?.images[rows.label.indexOf(label)] ?? images.length;
  return (
    <>
      <Numbers label={label} />
      {rows?.rival_name?.[rows.label.indexOf(label)] && <p>Besides itself its cells show <strong>{shortName(rows.rival_name[rows.label.indexOf(label)])}</strong> most.</p>}
      <p class="count">{images.length} of its {total} images are on this page{isLazy ? "" : ", those first whose background shows the class with the foreground covered"}. Framed: cells predicted as {shortName(nameOf(label))}.</p>
      <ul class="gallery trio">
        {images.slice(0, limit).map((place) => <Trio key={place} place={place} label={label} />)}
      </ul>
      {limit < images.length && <p class="more"><button onClick={() => setLimit(limit + STEP)}>Next {Math.min(STEP, images.length - limit)}</button></p>}
    </>
  );
}

function ImageHead({ place }: { place: number }) {
  const [predicted, right] = [predictedOf(place), isRight(place)];
  const label = data.images.label[place];
  const name = shortName(labelName(place));
  return (
    <span class="count">
      labelled {label === null ? name : <button class="link" onClick={() => openClass(label)}>{name}</button>}
      {predicted !== null && <>, taken for {shortName(nameOf(predicted))} {right === null ? "" : right ? "✓" : "✗"}</>}
      {data.others.filter((other) => data.images.path[place] in other.answers).map((other) => <>; {other.index}: {shortName(other.answers[data.images.path[place]])}</>)}
    </span>
  );
}

export function Panel() {
  const state = useHash();
  const dialog = useRef<HTMLDialogElement>(null);
  const place = state.image === undefined ? undefined : placeOf(state.image);
  const label = state.class !== undefined && /^\d+$/.test(state.class) ? Number(state.class) : undefined;
  const isOpen = place !== undefined || (label !== undefined && (rows?.label.includes(label) ?? label < data.names.length));
  useEffect(() => {
    if (isOpen && !dialog.current!.open) dialog.current!.showModal();
    if (!isOpen && dialog.current!.open) dialog.current!.close();
    if (!isOpen) return;
    dialog.current!.scrollTop = 0;
    dialog.current!.querySelector("h2")!.focus();
  }, [isOpen, state.image, state.class]);
  const close = () => change(place !== undefined ? { image: "", cell: "", variant: "" } : { class: "" });
  const leave = (event: Event) => {
    event.preventDefault();
    close();
  };
  const title = place !== undefined ? data.images.path[place] : label !== undefined ? nameOf(label) : "";
  return (
    <dialog ref={dialog} aria-label={title} onCancel={leave} onClick={(event) => event.target === dialog.current && close()}>
      {isOpen && (
        <>
          <header>
            <h2 tabIndex={-1}>{title}</h2>
            {place !== undefined && <ImageHead place={place} />}
            <button onClick={close} aria-label="Close">{place !== undefined && label !== undefined ? "Back to the class" : "Close"}</button>
          </header>
          <div class="body">{place !== undefined ? <Viewer place={place} /> : <ClassPanel label={label!} />}</div>
        </>
      )}
    </dialog>
  );
}
