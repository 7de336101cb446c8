// Colours that colour-blind people tell apart (Okabe and Ito), for the commonest; grey for the rest.

export const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7a5cc9"];
export const GREY = "#8a919b";
export const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** Values by how often they occur, and the colour of each: the palette's for the first, grey after it. */
export function rank<T>(values: Iterable<T>): { value: T; count: number }[] {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([value, count]) => ({ value, count })).sort((a, b) => b.count - a.count);
}

export const colourAt = (place: number): string => (place < PALETTE.length ? PALETTE[place] : GREY);

/** Dark to bright as the eye sees it (cividis, thinned): safe for every kind of sight. */
const CIVIDIS = ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"];

export function ramp(share: number): string {
  const at = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1);
  const low = Math.floor(at);
  const [a, b] = [CIVIDIS[low], CIVIDIS[Math.min(low + 1, CIVIDIS.length - 1)]];
  const mix = (start: number) => {
    const [x, y] = [parseInt(a.slice(start, start + 2), 16), parseInt(b.slice(start, start + 2), 16)];
    return Math.round(x + (y - x) * (at - low)).toString(16).padStart(2, "0");
  };
  return `#${mix(1)}${mix(3)}${mix(5)}`;
}
