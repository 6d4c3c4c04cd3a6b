// MediaPipe's landmarkers in a thread of their own, so that the page stays quick. In: {start} once, then {image, time}
// (ImageBitmap, milliseconds). Out: {ready}, {points, milliseconds, side} (Float32Array of V x 3; the
// hand, "left" or "right", where a hand is looked for) or {failed}.
//
// Points are in units of the image's height, origin top left, z away from the camera; NaN where a point is not seen.
// MediaPipe's own x and z are in image widths. The twin of runtime/landmarks.
import { HandLandmarker, HolisticLandmarker, PoseLandmarker } from "../lib/mediapipe/vision_bundle.mjs";

const HAND = 21;
const POSE = 33;
const WASM = new URL("../lib/mediapipe/wasm/vision_wasm_module_internal", import.meta.url).href;
const TASKS = { hand: HandLandmarker, pose: PoseLandmarker, holistic: HolisticLandmarker };
const READERS = { hand: handPoints, pose: posePoints, holistic: holisticPoints };

// MediaPipe loads its glue by importScripts, which a module has not, then by this, and looks for the factory here.
self.import = async (url) => {
  self.ModuleFactory = (await import(url)).default;
};
// Its module build logs through a function that it forgot to bring.
self.dbg = (text) => console.debug(text);

let task = null;
let settings = null;
let clock = -1;

self.onmessage = async ({ data }) => {
  try {
    if (data.start) await start(data.start);
    else detect(data);
  } catch (error) {
    self.postMessage({ failed: String(error?.message ?? error) });
  }
};

// settings: detector, file (address of the .task), hand, face (mesh points), delegate ("CPU" or "GPU").
async function start(given) {
  settings = given;
  task?.close();
  const options = {
    baseOptions: { modelAssetPath: given.file, delegate: given.delegate },
    runningMode: "VIDEO",
    ...(given.detector === "hand" && { numHands: given.hand === "first" ? 1 : 2 }),
  };
  const files = { wasmLoaderPath: `${WASM}.js`, wasmBinaryPath: `${WASM}.wasm` };
  task = await TASKS[given.detector].createFromOptions(files, options);
  self.postMessage({ ready: true });
}

function detect({ image, time }) {
  clock = Math.max(clock + 1, Math.round(time));
  const began = performance.now();
  const result = task.detectForVideo(image, clock);
  const milliseconds = performance.now() - began;
  const points = Float32Array.from(READERS[settings.detector](result, image.width / image.height));
  image.close();
  self.postMessage({ points, milliseconds, side: sideOf(result) }, [points.buffer]);
}

// The surest hand of the wanted side, -1 for none; MediaPipe names the person's own side when the image is not mirrored.
function surest(result) {
  const fits = (side) => settings.hand === "first" || side.categoryName.toLowerCase() === settings.hand;
  let best = -1;
  result.handedness.forEach(([side], index) => {
    if (fits(side) && (best < 0 || side.score > result.handedness[best][0].score)) best = index;
  });
  return best;
}

function sideOf(result) {
  if (settings.detector !== "hand") return "";
  return result.handedness[surest(result)]?.[0].categoryName.toLowerCase() ?? "";
}

function handPoints(result, aspect) {
  return toPoints(result.landmarks[surest(result)], HAND, aspect);
}

function posePoints(result, aspect) {
  return toPoints(result.landmarks[0], POSE, aspect);
}

function holisticPoints(result, aspect) {
  const face = result.faceLandmarks[0];
  return [
    ...toPoints(result.poseLandmarks[0], POSE, aspect),
    ...toPoints(result.leftHandLandmarks[0], HAND, aspect),
    ...toPoints(result.rightHandLandmarks[0], HAND, aspect),
    ...toPoints(face && settings.face.map((index) => face[index]), settings.face.length, aspect),
  ];
}

function toPoints(landmarks, count, aspect) {
  if (!landmarks || landmarks.length < count) return Array(count * 3).fill(NaN);
  return landmarks.slice(0, count).flatMap((point) => [point.x * aspect, point.y, point.z * aspect]);
}
