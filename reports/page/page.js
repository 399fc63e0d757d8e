"use strict";

// ---- light and dark: as the system says, until the button is pressed
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// ---- sorting: numbers by data-value, words by the alphabet; what has no number comes last both ways
function sortBy(table, column, descending) {
  const key = (row) => {
    const cell = row.cells[column];
    return cell.classList.contains("word") ? cell.textContent : cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([one], [two]) => {
    if (one === null || two === null) return (one === null) - (two === null);
    const order = typeof one === "string" ? one.localeCompare(two, "en", { numeric: true }) : one - two;
    return descending ? -order : order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("table.sortable thead tr:last-child th");
  if (!head) return;
  const table = head.closest("table");
  const words = table.tBodies[0].rows[0]?.cells[head.cellIndex].classList.contains("word");
  const now = head.getAttribute("aria-sort");
  const descending = now ? now === "ascending" : !words; // numbers: the largest first
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  sortBy(table, head.cellIndex, descending);
});

// ---- runs: the filter
const filter = document.getElementById("filter");
function applyFilter() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll("#run-table tbody tr")];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  document.getElementById("shown").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
}
filter.addEventListener("input", applyFilter);
applyFilter();

// ---- links into what is folded up or filtered away
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.hidden) { filter.value = ""; applyFilter(); }
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", reveal);

// ---- cases
const data = JSON.parse(document.getElementById("data").textContent);
const choice = document.getElementById("setting");
const caseTable = document.getElementById("case-table");
const detail = document.getElementById("case-detail");

function make(tag, text, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) element.textContent = text;
  return element;
}
function numberCell(value, digits) {
  const cell = make("td", value === null ? "–" : value.toFixed(digits), { className: "number" });
  if (value !== null) cell.dataset.value = value;
  return cell;
}
function headRow(names) {
  const row = make("tr");
  names.forEach((name, place) => {
    const head = make("th", undefined, { className: place ? "number" : "", scope: "col" });
    head.append(make("button", name, { type: "button" }));
    row.append(head);
  });
  return row;
}

function showSetting() {
  const setting = data[choice.value];
  detail.replaceChildren();
  if (!setting) return;
  caseTable.tHead.replaceChildren(headRow(["case", ...setting.methods, "mean"]));
  const columns = setting.scores.dice.mean;
  const all = columns.flat().filter((value) => value !== null);
  const low = Math.min(...all), span = Math.max(...all) - low || 1;
  caseTable.tBodies[0].replaceChildren(...setting.cases.map((name, index) => {
    const row = make("tr", undefined, { tabIndex: 0 });
    row.dataset.case = name;
    row.append(make("td", name, { className: "word" }));
    const values = columns.map((column) => column[index]);
    for (const value of values) {
      const cell = numberCell(value === null ? null : 100 * value, 1);
      if (value !== null) cell.style.background = `rgba(var(--heat), ${(0.4 * (value - low)) / span})`;
      row.append(cell);
    }
    const known = values.filter((value) => value !== null);
    const complete = known.length > 0 && known.length === values.length; // a mean over fewer methods is no mean of this case
    row.append(numberCell(complete ? (100 * known.reduce((sum, value) => sum + value, 0)) / known.length : null, 1));
    return row;
  }));
}

function showCase(row) {
  const setting = data[choice.value], index = setting.cases.indexOf(row.dataset.case);
  for (const other of caseTable.tBodies[0].rows) other.classList.toggle("chosen", other === row);
  const table = make("table", undefined, { className: "sortable" });
  const head = make("thead"), body = make("tbody");
  head.append(headRow(["method", ...setting.regions.flatMap((region) => setting.metrics.map((metric) => `${setting.region_names[region]} ${metric.heading}`))]));
  setting.methods.forEach((method, place) => {
    const line = make("tr");
    line.append(make("td", method, { className: "word" }));
    for (const region of setting.regions) {
      for (const metric of setting.metrics) {
        const value = setting.scores[metric.name][region][place][index];
        line.append(numberCell(value === null ? null : metric.factor * value, metric.digits));
      }
    }
    body.append(line);
  });
  table.append(head, body);
  const volumes = setting.regions.map((region) => {
    const volume = setting.reference_ml[region][index];
    return `${setting.region_names[region]} ${volume === null ? "–" : volume.toFixed(2)} ml`;
  });
  const scroll = make("div", undefined, { className: "scroll" });
  scroll.append(table);
  detail.replaceChildren(make("h3", row.dataset.case), make("p", `Reference: ${volumes.join(", ")}.`, { className: "hint" }), scroll);
  const panel = setting.panels[row.dataset.case];
  if (panel) {
    const figure = make("div", undefined, { className: "gallery" });
    figure.append(document.getElementById(panel).querySelector("svg").cloneNode(true));
    detail.append(figure);
  }
}

choice.addEventListener("change", showSetting);
caseTable.tBodies[0].addEventListener("click", (event) => showCase(event.target.closest("tr")));
caseTable.tBodies[0].addEventListener("keydown", (event) => { if (event.key === "Enter") showCase(event.target.closest("tr")); });
showSetting();
reveal();
