// The bench panel: every button is a line of the scenario language.
"use strict";

const $ = (id) => document.getElementById(id);
let person = "";

async function act(line) {
  $("error").textContent = "";
  const answer = await fetch("/do", { method: "POST", headers: { "Content-Type": "text/plain" }, body: line });
  if (!answer.ok) $("error").textContent = await answer.text();
}

document.addEventListener("click", (e) => {
  const button = e.target.closest("button");
  if (!button) return;
  if (button.dataset.person) { person = button.dataset.person; choose(); }
  if (button.dataset.do) act(button.dataset.do.replace("@", person));
});

$("say").addEventListener("submit", (e) => { e.preventDefault(); act($("line").value); });
$("forehead").addEventListener("input", (e) => { $("degrees").textContent = Number(e.target.value).toFixed(1) + " °C"; });
$("forehead").addEventListener("change", (e) => act("forehead " + Number(e.target.value).toFixed(1) + "C"));

function choose() {
  for (const b of $("people").children) b.setAttribute("aria-pressed", String(b.dataset.person === person));
}

function buttons(parent, list, make) {
  parent.replaceChildren(...list.map((item) => Object.assign(document.createElement("button"), { type: "button" }, make(item))));
  list.forEach((item, i) => Object.assign(parent.children[i].dataset, make(item).data));
}

let known = "";
function people(list) {
  const now = JSON.stringify(list);
  if (now === known) return;
  known = now;
  if (!list.some((p) => p.ref === person)) person = list.length ? list[0].ref : "";
  buttons($("people"), list, (p) => ({ textContent: p.label, data: { person: p.ref } }));
  choose();
}

let plugged = "";
function devices(list) {
  const now = JSON.stringify(list);
  if (now === plugged) return;
  plugged = now;
  buttons($("devices"), list, (d) => ({
    textContent: (d.plugged ? "Unplug " : "Plug in ") + d.name,
    className: d.plugged ? "" : "unplugged",
    data: { do: (d.plugged ? "unplug " : "plug ") + d.name },
  }));
}

function lamp(id, ok) { $(id).className = "lamp " + (ok ? "ok" : "bad"); }

function log(facts) {
  for (const f of facts) {
    const row = document.createElement("tr");
    if (f.stimulus) row.className = "stimulus";
    for (const text of [f.at, f.text]) row.appendChild(document.createElement("td")).textContent = text;
    $("log").prepend(row);
  }
  while ($("log").children.length > 200) $("log").lastChild.remove();
}

const stream = new EventSource("/events");
stream.addEventListener("state", (e) => {
  const s = JSON.parse(e.data);
  people(s.people || []);
  devices(s.devices || []);
  log(s.facts || []);
  lamp("agent", s.agent);
  lamp("link", s.platform === "up");
  $("link").textContent = "platform " + s.platform;
  $("gate").textContent = s.gate;
  $("gate").className = s.gate_open ? "gate open" : "gate";
  $("state").textContent = s.screen || "–";
  $("reason").textContent = s.reason || "";
  $("spoken").textContent = s.spoken || "–";
  $("stored").textContent = s.stored;
  $("delivered").textContent = s.delivered;
  $("duplicate").textContent = s.duplicate;
  $("screen").href = s.screen_url || "#";
  $("screen").hidden = !s.screen_url;
});
stream.onerror = () => { lamp("agent", false); $("error").textContent = "the bench has ended, or does not answer"; };
stream.onopen = () => { $("error").textContent = ""; $("log").replaceChildren(); };
