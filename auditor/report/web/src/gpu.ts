// The map's points on the GPU, by WebGL 2. Where software would stand in for one, which takes four times as long
// as writing the pixels does, there is none, and the canvas draws them.

import { layerOf, n, xs, ys } from "./points";
import { scaleOf, sizeOf, type Paint } from "./plot";

const VERTEX = `#version 300 es
in vec2 place;
in vec4 tint;
uniform vec2 middle, scale;
uniform float size;
flat out vec4 colour;
void main() {
  gl_Position = vec4((place - middle) * scale, 0, 1);
  gl_PointSize = size;
  colour = tint;
}`;
const FRAGMENT = `#version 300 es
precision highp float;
uniform float size;
flat in vec4 colour;
out vec4 pixel;
void main() {
  if (size > 4.0 && length(gl_PointCoord - 0.5) > 0.5) discard;
  pixel = colour;
}`;

function compile(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram()!;
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  return program;
}

function fill(gl: WebGL2RenderingContext, target: number, values: Uint16Array | Uint32Array): void {
  gl.bindBuffer(target, gl.createBuffer());
  gl.bufferData(target, values, gl.STATIC_DRAW);
}

/** Places that never change, colours and the order of drawing that do: what is coloured lies on what is grey. */
function upload(gl: WebGL2RenderingContext, program: WebGLProgram): (colours: Uint32Array) => void {
  const attribute = (name: string, values: Uint16Array | Uint32Array, width: number, kind: number, isShare: boolean) => {
    fill(gl, gl.ARRAY_BUFFER, values);
    const at = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, kind, isShare, 0, 0);
  };
  const places = new Uint16Array(2 * n);
  for (let at = 0; at < n; at++) places.set([xs[at], ys[at]], 2 * at);
  attribute("place", places, 2, gl.UNSIGNED_SHORT, false);
  return (colours) => {
    attribute("tint", colours, 4, gl.UNSIGNED_BYTE, true);
    const order = [0, 1, 2].flatMap((layer) => Array.from(colours.keys()).filter((at) => layerOf(colours[at]) === layer));
    fill(gl, gl.ELEMENT_ARRAY_BUFFER, Uint32Array.from(order));
  };
}

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Whether a GPU draws, and no software in its place; asked on a canvas of its own, since one has one kind for good. */
function hasGpu(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = gl ? String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER)) : "software";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return !SOFTWARE.test(name);
}

/** What draws the points on this canvas; `again` is called where the GPU was lost and is back. */
export function painter(canvas: HTMLCanvasElement, again: () => void): Paint | null {
  if (!hasGpu()) return null;
  const gl = canvas.getContext("webgl2", { antialias: false, depth: false, premultipliedAlpha: false, preserveDrawingBuffer: true });
  if (!gl) return null; // what was drawn is kept for who prints or saves it
  let program = compile(gl);
  let colour = upload(gl, program);
  let shown: Uint32Array | undefined;
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    program = compile(gl);
    colour = upload(gl, program);
    shown = undefined;
    again();
  });
  return (view, colours) => {
    const { width, height } = canvas;
    if (shown !== colours) colour((shown = colours));
    const scale = scaleOf(view, width, height);
    const uniform = (name: string) => gl.getUniformLocation(program, name);
    gl.viewport(0, 0, width, height);
    gl.uniform2f(uniform("middle"), view.x, view.y);
    gl.uniform2f(uniform("scale"), (2 * scale) / width, (2 * scale) / height);
    gl.uniform1f(uniform("size"), sizeOf(view));
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.drawElements(gl.POINTS, n, gl.UNSIGNED_INT, 0);
  };
}
