// Writes bundle/page.js from src/: `npm ci && npm run build`, or `make web` from the root of the repository.
import { build } from "esbuild";

await build({
  entryPoints: ["src/main.tsx"],
  outfile: process.argv[2] ?? "bundle/page.js",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "inline",
});
