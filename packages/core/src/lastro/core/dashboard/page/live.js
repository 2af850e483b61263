// The dashboard: takes one look a second from /live and draws it. A look that does not come is shown as such.
const LOOKS = 120;
const LATE_MS = 5000;
const number = new Intl.NumberFormat("en");
const money = new Intl.NumberFormat("pt-BR", { style: "currency", currency: "BRL" });
const byId = (id) => document.getElementById(id);
const past = [];
let seen = Date.now();

function state(kind, text) {
  const place = byId("state");
  if (place.textContent !== text) place.textContent = text;
  place.dataset.state = kind;
  document.body.classList.toggle("stale", kind !== "live");
}

function pairs(list, entries) {
  list.replaceChildren(...entries.flatMap(([name, value, bad]) => {
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    told.classList.toggle("bad", Boolean(bad));
    return [term, told];
  }));
}

function card(name) {
  const known = byId(`domain-${name}`);
  if (known) return known;
  const made = byId("card").content.firstElementChild.cloneNode(true);
  made.id = `domain-${name}`;
  made.querySelector("h2").textContent = name;
  byId("domains").append(made);
  return made;
}

function chart(figure, rates) {
  const top = Math.max(...rates, 1);
  const from = LOOKS - rates.length;
  const points = rates.map((rate, i) => `${from + i + 1},${(38 - (rate / top) * 36).toFixed(2)}`);
  figure.querySelector(".line").setAttribute("d", points.length ? `M${points.join("L")}` : "");
  figure.querySelector(".area").setAttribute("d", points.length ? `M${from + 1},40L${points.join("L")}L${LOOKS},40Z` : "");
  const [left, right] = ["last two minutes", `peak ${number.format(Math.round(top))}/s`];
  figure.querySelector("figcaption").replaceChildren(...[left, right].map((text) => {
    const span = document.createElement("span");
    span.textContent = text;
    return span;
  }));
  figure.querySelector("svg").setAttribute("aria-label", `rate, ${left}, ${right}`);
}

function ms(value) {
  return value === null ? "–" : `${number.format(value)} ms`;
}

function draw(look) {
  for (const [name, panel] of Object.entries(look.panels)) {
    const place = card(name);
    place.querySelector(".rate strong").textContent = number.format(Math.round(look.rates[name]));
    place.querySelector(".rate span").textContent = `${panel.unit} a second`;
    chart(place.querySelector("figure"), past.filter((one) => one.store).map((one) => one.rates[name] ?? 0));
    const facts = [[panel.unit, number.format(panel.done)]];
    if (panel.cents !== null) facts.push(["moved", money.format(panel.cents / 100)]);
    if (panel.p50_ms !== null) facts.push(["latency p50 · p99", `${ms(panel.p50_ms)} · ${ms(panel.p99_ms)}`]);
    facts.push(["waiting", number.format(panel.backlog)]);
    if (panel.backlog) facts.push(["oldest", `${panel.oldest_seconds.toFixed(1)} s`]);
    facts.push(["dead letters", number.format(panel.dead), panel.dead > 0]);
    pairs(place.querySelector(".facts"), facts);
    pairs(place.querySelector(".rows"), panel.rows);
  }
  store(look);
  const problems = Object.entries(look.panels).flatMap(([name, panel]) => panel.problems.map((text) => `${name}: ${text}`));
  const place = byId("problems");
  place.hidden = problems.length === 0;
  const list = document.createElement("ul");
  list.append(...problems.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  if (place.textContent !== problems.join("")) place.replaceChildren(list);
}

function store(look) {
  const told = [
    [look.store.version, ""],
    [(look.store.memory_bytes / 1e6).toFixed(1), "MB"],
    [number.format(Math.round(look.rates.commands)), "commands/s"],
    [number.format(look.store.clients), "connections"],
    [look.store.role, `with ${look.store.replicas} replicas`],
    [`fsync ${look.store.fsync}`, ""],
  ];
  byId("store").replaceChildren(...told.map(([value, unit]) => {
    const span = document.createElement("span");
    const strong = document.createElement("b");
    strong.textContent = value;
    span.append(strong, ` ${unit}`);
    return span;
  }));
}

function take(look) {
  seen = Date.now();
  past.push(look);
  past.splice(0, past.length - LOOKS);
  if (look.store) {
    state("live", "live");
    draw(look);
  } else {
    state("away", `the server is away: ${look.reason}`);
  }
}

function theme(chosen) {
  document.documentElement.dataset.theme = chosen;
  byId("theme").textContent = chosen === "dark" ? "light" : "dark";
  byId("theme").setAttribute("aria-pressed", String(chosen === "dark"));
}

const dark = matchMedia("(prefers-color-scheme: dark)").matches;
theme(localStorage.getItem("theme") ?? (dark ? "dark" : "light"));
byId("theme").addEventListener("click", () => {
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  localStorage.setItem("theme", document.documentElement.dataset.theme);
});

const source = new EventSource("/live");
source.addEventListener("past", (event) => {
  past.length = 0;
  past.push(...JSON.parse(event.data));
});
source.addEventListener("look", (event) => take(JSON.parse(event.data)));
source.addEventListener("error", () => state("away", "the engine does not answer; trying again"));
setInterval(() => {
  if (Date.now() - seen > LATE_MS) state("away", `nothing heard for ${Math.round((Date.now() - seen) / 1000)} s; trying again`);
}, 1000);
