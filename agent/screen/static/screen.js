// The visitor's page. It shows whole views as they come; two things it does
// alone: a verdict is taken away when its time is over, and silence for 15 s
// means that nothing on this page can be believed.
"use strict";

const SILENCE = 15000;

// One shape a state, so that nobody has to tell colours apart.
const tick = "M50 3a47 47 0 1 0 .1 0zM43 74 20 51l8-8 15 15 30-30 8 8z";
const cross = "M30 3h40l27 27v40L70 97H30L3 70V30zM32 24l-8 8 18 18-18 18 8 8 18-18 18 18 8-8-18-18 18-18-8-8-18 18z";
const warn = "M50 4 98 94H2zM45 36h10l-2 32h-6zM45 74h10v10H45z";
const scan = "M5 5h30v8H13v22H5zM65 5h30v30h-8V13H65zM5 65h8v22h22v8H5zM87 65h8v30H65v-8h22zM20 46h60v8H20z";
const dots = "M14 40a10 10 0 1 0 .1 0zM50 40a10 10 0 1 0 .1 0zM86 40a10 10 0 1 0 .1 0z";
const face = "M50 5a45 45 0 1 0 .1 0zM50 13a37 37 0 1 1-.1 0zM35 36h8v12h-8zM57 36h8v12h-8zM32 62h36v7H32z";
const bar = "M5 38h90v24H5zM15 44v12h70V44z";
const run = "M58 4a9 9 0 1 0 .1 0zM40 28h24l14 16-6 6-10-10-4 18 14 16v22h-9V76L47 62 38 78l-24 2v-9l18-2 10-30-12 6v12h-8V40z";
const shapes = {
  granted: tick, assisted: tick, refused: cross, manual: warn, "wrong-code": warn,
  idle: scan, reading: dots, asking: dots, starting: dots, "wait-host": dots,
  closer: face, "out-of-service": bar, open: run,
};

const $ = (selector) => document.querySelector(selector);

function words(element, pair) {
  element.querySelector(".zh").textContent = pair[0];
  element.querySelector(".en").textContent = pair[1];
}

let expiry = 0;
let silence = 0;
let resting = null; // what to show when a verdict's time is over

function show(v) {
  document.body.dataset.state = v.state;
  document.body.dataset.reason = v.reason;
  $(".icon path").setAttribute("d", shapes[v.state] || warn);
  words($("h1"), v.headline);
  words($(".text"), v.text);
  words($(".note"), v.note);
  $(".note").hidden = !v.note[0];
  $(".phone").hidden = !(v.phone && v.state === "manual");
  $(".number").textContent = v.phone;
  $(".next").hidden = !v.reference;
  $(".reference").textContent = v.reference;
  $(".offline").hidden = !v.offline;
  $(".scanner").hidden = !v.scanner;
  $(".card").hidden = !v.card;
  clearTimeout(expiry);
  if (v.left_ms > 0) {
    expiry = setTimeout(() => show(resting || starting), v.left_ms);
  } else if (v.state === "idle") {
    resting = v;
  }
}

const starting = {
  state: "starting", reason: "", headline: ["正在启动", "Starting"],
  text: ["系统正在启动，请稍候。", "The system is starting. Please wait."],
  note: ["", ""], phone: "", reference: "", offline: false, scanner: false, card: false, left_ms: 0,
};

function alive() {
  clearTimeout(silence);
  silence = setTimeout(() => { resting = null; show(starting); }, SILENCE);
}

const stream = new EventSource("/events");
stream.addEventListener("view", (e) => { alive(); show(JSON.parse(e.data)); });
stream.addEventListener("heartbeat", alive);
alive();
