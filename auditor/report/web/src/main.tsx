// The page was whole before this ran: scripts take over the parts that move.

import { render, type ComponentChild } from "preact";
import { count, data, isWhole } from "./data";
import { Charts } from "./charts";
import { Classes, rows } from "./classes";
import { Gallery } from "./gallery";
import { CellMap } from "./map";
import { Panel } from "./panel";
import { hasMap } from "./points";
import { followHash } from "./state";
import { addExports } from "./tables";
import { Actions, SaveFindings } from "./verdict";

function mount(id: string, part: ComponentChild): void {
  const box = document.getElementById(id);
  if (!box) return;
  box.replaceChildren();
  render(part, box);
}

if (isWhole) {
  if (rows) mount("classes-app", <Classes />);
  mount("images-app", count ? <Gallery /> : <p class="note">No image is on this page.</p>);
  if (hasMap) mount("map-app", <CellMap />);
  if (Object.keys(data.charts).length) mount("charts-app", <Charts />);
  mount("panel-app", <Panel />);
  const verdict = document.getElementById("verdict");
  if (verdict && data.findings.length) {
    const box = document.createElement("div");
    verdict.append(box);
    render(<SaveFindings />, box);
  }
  for (const box of document.querySelectorAll<HTMLElement>("[data-finding]")) {
    const number = Number(box.dataset.finding);
    render(<Actions finding={data.findings[number]} number={number} />, box);
  }
}
addExports();
followHash();
document.documentElement.dataset.ready = "true";
