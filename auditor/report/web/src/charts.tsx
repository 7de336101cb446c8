// Curves and intervals as small charts: the numbers are those of the records, read out where one points.

import { useState } from "preact/hooks";
import { data, type Columns } from "./data";
import { PALETTE } from "./colours";
import { points, save, share, toCsv } from "./format";
import { Interval } from "./classes";

const [W, H, LEFT, BELOW] = [420, 220, 34, 26];
const at = (x: number) => LEFT + x * (W - LEFT - 6);
const up = (y: number) => (1 - y) * (H - BELOW - 6) + 6;

const SCORES: Record<string, string> = {
  max_softmax: "highest probability", confidence: "confidence (entropy)", feature_fg: "feature prototype", logit_fg: "logit prototype",
};
const DASHES = ["", "7 4", "2 3", "9 3 2 3"]; // never colour alone

interface Series { name: string; values: (number | null)[] }

function Curves({ title, note, xs, series, xTitle }: { title: string; note: string; xs: number[]; series: Series[]; xTitle: string }) {
  const [place, setPlace] = useState(-1);
  const point = (event: MouseEvent) => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const x = (((event.clientX - box.left) / box.width) * W - LEFT) / (W - LEFT - 6);
    setPlace(xs.reduce((nearest, each, number) => (Math.abs(each - x) < Math.abs(xs[nearest] - x) ? number : nearest), 0));
  };
  const path = (values: (number | null)[]) =>
    values.map((value, number) => (value === null ? "" : `${number && values[number - 1] !== null ? "L" : "M"}${at(xs[number])} ${up(value)}`)).join("");
  return (
    <div class="chart">
      <h3 title={note}>{title}</h3>
      <svg viewBox={`0 0 ${W} ${H}`} role="img" aria-label={`${title} over ${xTitle}`} onMouseMove={point} onMouseLeave={() => setPlace(-1)}>
        {[0, 0.25, 0.5, 0.75, 1].map((tick) => (
          <>
            <line class="grid" x1={at(0)} x2={at(1)} y1={up(tick)} y2={up(tick)} />
            <text x={LEFT - 5} y={up(tick) + 4} text-anchor="end">{100 * tick}</text>
            <text x={at(tick)} y={H - 10} text-anchor="middle">{tick}</text>
          </>
        ))}
        {series.map((each, number) => <path class="series" d={path(each.values)} stroke={PALETTE[number]} stroke-dasharray={DASHES[number]} />)}
        {place >= 0 && <line class="cross" x1={at(xs[place])} x2={at(xs[place])} y1={up(0)} y2={up(1)} />}
      </svg>
      <p class="readout" aria-live="polite">{place >= 0 ? `${xTitle} ${xs[place].toFixed(2)}: ${series.map((each) => `${each.name} ${share(each.values[place])} %`).join(", ")}` : `Percent over ${xTitle}. Point at the chart for numbers; all of them stand below.`}</p>
      <ul class="legend">{series.map((each, number) => <li><svg viewBox="0 0 32 10" aria-hidden="true"><line x1="0" x2="32" y1="5" y2="5" stroke={PALETTE[number]} stroke-width="2.5" stroke-dasharray={DASHES[number]} /></svg>{each.name}</li>)}</ul>
    </div>
  );
}

const ratio = (columns: Columns, name: string, row: number) =>
  columns[`${name}_total`][row] ? columns[`${name}_hits`][row] / columns[`${name}_total`][row] : null;

function Thresholds({ columns }: { columns: Columns }) {
  const scores = [...new Set<string>(columns.score)];
  const rowsOf = (score: string) => columns.score.map((_, row) => row).filter((row) => columns.score[row] === score);
  const xs = rowsOf(scores[0]).map((row) => columns.tau[row]);
  const curve = (name: string): Series[] =>
    scores.map((score) => ({ name: SCORES[score] ?? score, values: rowsOf(score).map((row) => ratio(columns, name, row)) }));
  const note = "Only cells count whose score exceeds the threshold; every cell stays in the denominator. In the paper: A.3, Figures 5 and 6";
  return (
    <>
      <Curves title="Localization kept by confident cells" note={note} xs={xs} series={curve("loc")} xTitle="threshold" />
      <Curves title="Background activation kept by confident cells" note={note} xs={xs} series={curve("bg_act")} xTitle="threshold" />
    </>
  );
}

const RULES: Record<string, string> = {
  mean: "mean of cells", max: "maximum", top5: "best five cells", lse: "log-sum-exp", foreground: "foreground cells", threshold: "confident cells",
};

function Pooling({ columns }: { columns: Columns }) {
  return (
    <div class="chart">
      <h3 title="Image-level predictions from the stored cells. In the paper: section 6">Accuracy when cells are pooled otherwise</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label="Accuracy by pooling rule"><table>
        <thead><tr><th scope="col">Rule</th><th scope="col" class="number">%</th><th scope="col">95 %</th><th scope="col" class="number">Gained</th><th scope="col" class="number">Lost</th></tr></thead>
        <tbody>
          {columns.rule.map((rule: string, row: number) => {
            const value = ratio(columns, "accuracy", row);
            return (
              <tr><th scope="row">{RULES[rule] ?? rule}</th><td class="number">{share(value)}</td>
                <td>{value !== null && columns.interval_low[row] !== null && <Interval low={columns.interval_low[row]} high={columns.interval_high[row]} value={value} />}</td>
                <td class="number">{columns.gained[row]}</td><td class="number">{columns.lost[row]}</td></tr>
            );
          })}
        </tbody>
      </table></div>
    </div>
  );
}

function Fills({ columns }: { columns: Columns }) {
  const rows = columns.fill.map((_, row) => row).filter((row) => columns.label[row] === null || columns.label.every((each) => each !== null));
  return (
    <div class="chart">
      <h3 title="What stands where the object was covered. In the paper: A.6">Delta under other fills</h3>
      <table>
        <thead><tr><th scope="col">Of</th><th scope="col">Fill</th><th scope="col" class="number">Delta, points</th></tr></thead>
        <tbody>{rows.map((row) => <tr><th scope="row">{columns.name[row]}</th><td>{columns.fill[row]}</td><td class="number">{points(columns.delta?.[row])}</td></tr>)}</tbody>
      </table>
    </div>
  );
}

const NAMES: Record<string, string> = { threshold: "thresholds", pool: "pooling rules", fills: "fills" };

function download(name: string, columns: Columns): void {
  const names = Object.keys(columns);
  save(`${data.index}-${name}.csv`, toCsv(names, columns[names[0]].map((_, row) => names.map((each) => columns[each][row]))));
}

export function Charts() {
  const { threshold, pool, fills } = data.charts;
  return (
    <>
    <div class="charts">
      {threshold && <Thresholds columns={threshold} />}
      {pool && <Pooling columns={pool} />}
      {fills && <Fills columns={fills} />}
    </div>
    <p class="actions">{Object.entries(data.charts).map(([name, columns]) => <button onClick={() => download(name, columns)}>CSV of {NAMES[name] ?? name}</button>)}</p>
    </>
  );
}
