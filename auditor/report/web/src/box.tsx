// A search box: what is typed, what is wrong with it beside it, what can be typed in its tooltip.

import { help, type Field } from "./search";

interface Look { title: string; value: string; wrong: string; example: string; fields: Field[]; onChange: (text: string) => void }

export function SearchBox({ title, value, wrong, example, fields, onChange }: Look) {
  const id = `wrong-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return (
    <>
      <label class="search">{title}
        <input type="search" value={value} placeholder={example} title={help(fields)} spellcheck={false} autocomplete="off"
          aria-invalid={wrong ? true : undefined} aria-describedby={wrong ? id : undefined}
          onInput={(event) => onChange((event.target as HTMLInputElement).value)} />
      </label>
      {wrong && <p class="wrong" id={id} role="status">{wrong}</p>}
    </>
  );
}
