// Every table that was written without a script can be saved as well.

import { data } from "./data";
import { save, toCsv } from "./format";

/** The text of a row, the small print of an entry in parentheses. */
function texts(row: HTMLTableRowElement): string[] {
  return [...row.cells].map((cell) => {
    const small = cell.querySelector("small")?.textContent ?? "";
    const text = (cell.textContent ?? "").trim();
    return small ? `${text.slice(0, text.length - small.length).trim()} (${small})` : text;
  });
}

export function addExports(): void {
  for (const table of document.querySelectorAll<HTMLTableElement>("main .scroll > table")) {
    if (!table.caption) continue;
    const button = document.createElement("button");
    button.textContent = "CSV";
    button.className = "link";
    button.setAttribute("aria-label", `Save as CSV: ${table.caption.textContent}`);
    const name = (table.caption.textContent ?? "table").toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 40);
    button.onclick = () => {
      const [head, ...rows] = [...table.rows].map(texts);
      save(`${data.index ?? "audit"}-${name}.csv`, toCsv(head, rows));
    };
    const line = document.createElement("p");
    line.className = "actions";
    line.append(button);
    table.parentElement!.after(line);
  }
}
