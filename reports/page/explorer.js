"use strict";

// ---- what both parts need: elements, cells, choices of settings
const data = JSON.parse(document.getElementById("data").textContent);

function find(id) {
  return document.getElementById(id);
}
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
function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => make("option", text, { value })));
  if (options.some(([value]) => String(value) === before)) select.value = before;
}
function listSettings() {
  return data.map((setting, place) => [place, setting.setting]).filter(([place]) =>
    ["dataset", "tuning"].every((name) => chosen(name) === "" || String(data[place][name]) === chosen(name)));
}
function listMethods(families) { // numbers of the methods of the chosen family
  return families.map((family, place) => [String(family), place]).filter(([family]) => chosen("family") === "" || family === chosen("family")).map(([, place]) => place);
}

// ---- differences
const differenceSetting = find("difference-setting"), reference = find("reference"), differenceTable = find("difference-table");

function showDifferences() {
  const found = data[differenceSetting.value]?.differences;
  differenceTable.tHead.replaceChildren();
  differenceTable.tBodies[0].replaceChildren();
  find("difference-note").textContent = found ? "" : "No two methods have all their runs in this choice.";
  if (!found) return;
  const pairs = found.rows.map(([first, second, value, low, high]) => {
    if (second === Number(reference.value)) return [first, value, low, high];
    if (first === Number(reference.value)) return [second, -value, high === null ? null : -high, low === null ? null : -low];
    return null;
  }).filter((pair) => pair && listMethods(found.family).includes(pair[0]));
  pairs.sort((one, two) => two[1] - one[1]);
  const ends = pairs.flatMap(([, ...numbers]) => numbers).filter((number) => number !== null);
  const low = Math.min(0, ...ends), high = Math.max(0, ...ends), span = high - low || 1;
  const place = (number) => (100 * (number - low)) / span;
  differenceTable.tHead.replaceChildren(headRow(["method", "difference", "from", "to"]));
  const scale = make("th", `${low.toFixed(1)} … 0 … ${high > 0 ? "+" : ""}${high.toFixed(1)}`, { className: "scale", scope: "col" });
  differenceTable.tHead.rows[0].append(scale);
  differenceTable.tBodies[0].replaceChildren(...pairs.map(([method, ...numbers]) => {
    const row = make("tr");
    row.append(make("td", found.methods[method], { className: "word" }), ...numbers.map(signedCell));
    row.append(drawBar(numbers, place));
    return row;
  }));
  const trainings = found.n_trainings > 1 ? `${found.n_trainings} trainings a method` : "one training a method: differences between trainings are not in the intervals";
  find("difference-note").textContent = `${found.methods[reference.value]} is zero. ${found.n_cases} common cases, ${trainings}.`;
}
function signedCell(value) {
  const cell = numberCell(value, 1);
  if (value > 0) cell.textContent = `+${cell.textContent}`;
  return cell;
}
function drawBar([value, low, high], place) {
  const cell = make("td", undefined, { className: "scale number" }), bar = make("div", undefined, { className: "bar-of-interval" });
  bar.setAttribute("aria-hidden", "true"); // the numbers are beside it
  const parts = [["zero", place(0), 0], ["point", place(value), 0]];
  if (low !== null) parts.splice(1, 0, ["line", place(low), place(high) - place(low)]);
  for (const [name, left, width] of parts) {
    const part = make("span", undefined, { className: name });
    part.style.left = `${left}%`;
    if (width) part.style.width = `${width}%`;
    bar.append(part);
  }
  cell.append(bar);
  cell.dataset.value = value;
  return cell;
}
function offerReferences() {
  const found = data[differenceSetting.value]?.differences;
  const all = found ? found.methods.map((name, place) => [place, name]) : [];
  const most = found && found.rows.length < (all.length * (all.length - 1)) / 2 ? 1 : all.length; // of many methods only the first
  reference.value = "";
  fill(reference, all.slice(0, most));
  if (found) reference.value = found.first;
  showDifferences();
}
differenceSetting.addEventListener("change", offerReferences);
reference.addEventListener("change", showDifferences);

// ---- cases
const settingChoice = find("setting"), caseChoice = find("case"), caseTable = find("case-table"), detail = find("case-detail");

function meanOf(setting, index) {
  const values = listMethods(setting.family).map((method) => setting.scores.dice.mean[method][index]);
  const known = values.filter((value) => value !== null);
  return known.length > 0 && known.length === values.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null; // a mean over fewer methods is no mean of this case
}
function showSetting() {
  const setting = data[settingChoice.value];
  detail.replaceChildren();
  caseTable.tHead.replaceChildren();
  caseTable.tBodies[0].replaceChildren();
  const some = setting && Object.keys(setting.panels).length;
  fill(caseChoice, setting ? setting.cases.map((name) => [name, some && !setting.panels[name] ? `${name} (no images)` : name]) : []);
  if (!setting) {
    detail.append(make("p", "No run of this choice has scores of cases.", { className: "hint" }));
    return;
  }
  const methods = listMethods(setting.family), columns = setting.scores.dice.mean;
  caseTable.tHead.append(headRow(["case", ...methods.map((method) => setting.methods[method]), "mean"]));
  const all = methods.flatMap((method) => columns[method]).filter((value) => value !== null);
  const low = Math.min(...all), span = Math.max(...all) - low || 1;
  caseTable.tBodies[0].append(...setting.cases.map((name, index) => {
    const row = make("tr");
    row.dataset.case = name;
    const head = make("td", undefined, { className: "word" });
    head.append(make("button", name, { type: "button", className: "link" }));
    row.append(head);
    for (const method of methods) {
      const value = columns[method][index];
      const cell = numberCell(value === null ? null : 100 * value, 1);
      if (value !== null) cell.style.background = `rgba(var(--heat), ${(0.4 * (value - low)) / span})`;
      row.append(cell);
    }
    const mean = meanOf(setting, index);
    row.append(numberCell(mean === null ? null : 100 * mean, 1));
    return row;
  }));
  if (!setting.panels[caseChoice.value]) caseChoice.value = Object.keys(setting.panels)[0] ?? setting.cases[0];
  showCase();
}
function showCase() {
  const setting = data[settingChoice.value], name = caseChoice.value;
  const index = setting.cases.indexOf(name), methods = listMethods(setting.family);
  for (const row of caseTable.tBodies[0].rows) row.classList.toggle("chosen", row.dataset.case === name);
  const volumes = setting.regions.map((region) => {
    const volume = setting.reference_ml[region][index];
    return `${setting.region_names[region]} ${volume === null ? "–" : volume.toFixed(2)} ml`;
  });
  const parts = [make("h3", name), make("p", `Reference: ${volumes.join(", ")}.`, { className: "hint" })];
  const panels = setting.panels[name];
  if (panels) parts.push(...drawPanels(setting, panels, index, methods));
  else if (Object.keys(setting.panels).length) parts.push(make("p", `The page has room for the images of ${Object.keys(setting.panels).length} of ${setting.cases.length} cases, this one is not among them.`, { className: "hint" }));
  else parts.push(make("p", "The runs have kept no images.", { className: "hint" }));
  detail.replaceChildren(...parts, tabulateCase(setting, index, methods));
}
function drawPanels(setting, panels, index, methods) {
  const legend = make("p", undefined, { className: "legend" });
  for (const [name, colour] of panels.layers) {
    const patch = make("span", undefined, { className: "patch" });
    patch.style.background = colour;
    legend.append(patch, `${name} `);
  }
  legend.append(make("span", "white line: outline of the reference. The slice is the one with most disagreement.", { className: "hint" }));
  const grid = make("div", undefined, { className: "panels" });
  grid.append(drawPanel("reference", "", [panels.image, panels.reference], panels));
  for (const method of methods) {
    const prediction = panels.predictions[setting.labels[method]];
    if (!prediction) continue;
    const dice = setting.scores.dice.mean[method][index];
    grid.append(drawPanel(setting.methods[method], dice === null ? "Dice –" : `Dice ${(100 * dice).toFixed(1)}`, [panels.image, prediction, panels.outline], panels));
  }
  return [legend, grid];
}
function drawPanel(name, words, addresses, { width, height }) {
  const figure = make("figure"), stack = make("div", undefined, { className: "stack" });
  addresses.forEach((src, layer) => stack.append(make("img", undefined, { src, width, height, alt: layer ? "" : `slice: ${name}` })));
  const caption = make("figcaption");
  caption.append(make("b", name), ` ${words}`);
  figure.append(stack, caption);
  return figure;
}
function tabulateCase(setting, index, methods) {
  const table = make("table", undefined, { className: "sortable" }), head = make("thead"), body = make("tbody");
  head.append(headRow(["method", ...setting.regions.flatMap((region) => setting.metrics.map((metric) => `${setting.region_names[region]} ${metric.heading}`))]));
  for (const method of methods) {
    const line = make("tr");
    line.append(make("td", setting.methods[method], { className: "word" }));
    for (const region of setting.regions) {
      for (const metric of setting.metrics) {
        const value = setting.scores[metric.name][region][method][index];
        line.append(numberCell(value === null ? null : metric.factor * value, metric.digits));
      }
    }
    body.append(line);
  }
  table.append(head, body);
  const scroll = make("div", undefined, { className: "scroll", tabIndex: 0 });
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", "Scores of the case");
  scroll.append(table);
  return scroll;
}
function pick(name) {
  caseChoice.value = name;
  showCase();
}
function step(by) {
  const cases = data[settingChoice.value]?.cases;
  if (cases) pick(cases[(cases.indexOf(caseChoice.value) + by + cases.length) % cases.length]);
}
function pickExtreme(sign) {
  const setting = data[settingChoice.value];
  const ranked = (setting?.cases ?? []).map((name, index) => [meanOf(setting, index), name]).filter(([mean]) => mean !== null);
  ranked.sort(([one], [two]) => sign * (one - two));
  if (ranked.length) pick(ranked[0][1]);
}

settingChoice.addEventListener("change", showSetting);
caseChoice.addEventListener("change", showCase);
find("previous").addEventListener("click", () => step(-1));
find("next").addEventListener("click", () => step(1));
find("worst").addEventListener("click", () => pickExtreme(1));
find("best").addEventListener("click", () => pickExtreme(-1));
caseTable.tBodies[0].addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row) pick(row.dataset.case);
});

// ---- the start, and again after each filter
document.addEventListener("facets", () => {
  fill(settingChoice, listSettings());
  fill(differenceSetting, listSettings());
  showSetting();
  offerReferences();
});
applyFacets();
reveal();
