// What a finding leads to: its class, its images, its cells on the map.

import { data, type Finding } from "./data";
import { clusterWith, hasMap } from "./points";
import { save } from "./format";
import { change, show, type State } from "./state";
import { openClass } from "./panel";

function go(part: string, state: State): void {
  change(state, part, true);
  show(part);
}

export function Actions({ finding, number }: { finding: Finding; number: number }) {
  const label = data.names.indexOf(finding.subject);
  const cluster = hasMap ? clusterWith(finding.cells) : "";
  return (
    <>
      {label >= 0 && <button onClick={() => openClass(label)}>Open the class</button>}
      {finding.cells.length > 0 && <button onClick={() => go("images", { finding: String(number) })}>Its images</button>}
      {cluster && <button onClick={() => go("map", { colour: "cluster", only: cluster, lasso: "" })}>On the map</button>}
    </>
  );
}

export function SaveFindings() {
  return <p class="actions"><button onClick={() => save(`${data.index}-findings.json`, JSON.stringify(data.findings, null, 1))}>Findings as JSON</button></p>;
}
