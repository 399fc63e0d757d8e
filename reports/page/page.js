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

// ---- filters of the whole page: what has a data set, family or tuning must have the chosen one
const filters = document.getElementById("filters");
const choices = filters ? [...filters.querySelectorAll("select")] : [];
const MARKED = "[data-dataset], [data-family], [data-tuning]";

function chosen(name) {
  return choices.find((choice) => choice.name === name)?.value ?? "";
}
function isKept(element) {
  return choices.every(({ name, value }) => value === "" || element.dataset[name] === undefined || element.dataset[name].split(" ").includes(value));
}
function applyFacets() {
  for (const element of document.querySelectorAll(MARKED)) element.hidden = !isKept(element);
  applyWords();
  document.dispatchEvent(new Event("facets"));
}
filters?.addEventListener("change", applyFacets);
filters?.addEventListener("reset", () => setTimeout(applyFacets)); // the values change after this event
filters?.addEventListener("submit", (event) => event.preventDefault());

// ---- runs: their words
const filter = document.getElementById("filter");
function applyWords() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll("#run-table tbody tr")];
  for (const row of rows) row.hidden = !isKept(row) || !words.every((word) => row.textContent.toLowerCase().includes(word));
  const shown = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  document.getElementById("shown").textContent = shown;
  if (filters) document.getElementById("kept").textContent = `${shown} runs`;
}
filter.addEventListener("input", applyWords);

// ---- links into what is folded up or filtered away
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.hidden) {
    filter.value = "";
    for (const choice of choices) choice.value = "";
    applyFacets();
  }
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView({ block: target.tagName === "H2" ? "start" : "center" });
}
addEventListener("hashchange", reveal);
