// Numbers as the page shows them, and what leaves the page: CSV, JSON, the clipboard.

export const NO_DATA = "–";

export const share = (value: number | null | undefined, digits = 1): string =>
  value === null || value === undefined ? NO_DATA : (100 * value).toFixed(digits);

export const points = (value: number | null | undefined): string =>
  value === null || value === undefined ? NO_DATA : `${value < 0 ? "-" : "+"}${Math.abs(100 * value).toFixed(1)}`;

export const chance = (value: number | null | undefined): string =>
  value === null || value === undefined ? NO_DATA : value < 0.001 ? "<0.001" : value.toFixed(3);

export const whole = (value: number): string => value.toLocaleString("en");

export const times = (value: number): string => `x${value.toFixed(1)}`;

function quoted(value: unknown): string {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(names: string[], rows: unknown[][]): string {
  return [names, ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
}

export const toJson = (names: string[], rows: unknown[][]): string =>
  JSON.stringify(rows.map((row) => Object.fromEntries(names.map((name, place) => [name, row[place] ?? null]))), null, 1);

export function save(name: string, text: string): void {
  const kind = name.endsWith(".csv") ? "text/csv" : "application/json";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Copy a text; where the browser allows no clipboard (from disk, some do not), the old way. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
