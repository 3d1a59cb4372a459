// Which boards and entries are shown; what was chosen stands in the address, to be passed on.
const filters = document.getElementById("filters");
const controls = Array.from(filters.querySelectorAll("select, input"));
let boards = null;
function readBoards() {
  return Array.from(document.querySelectorAll("section.board[data-task]"), (section) => ({
    section,
    link: document.querySelector(`nav a[href="#${section.dataset.key}"]`),
    rows: Array.from(section.querySelector("table.entries").tBodies[0].rows, (row) => ({
      row,
      text: row.querySelector("th").textContent.toLowerCase(),
    })),
  }));
}
function chosen() {
  const values = {};
  for (const control of controls) values[control.name] = control.value;
  return values;
}
function rowMatches(row, text, by, words) {
  const { agent, origin } = row.dataset;
  const written = !by || by === `origin:${origin}` || by === `agent:${agent}`;
  return written && words.every((word) => text.includes(word));
}
function showChosen() {
  const { by, q, ...conditions } = chosen();
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  boards = boards || readBoards(); // only once somebody asks: it takes longer than opening the page
  for (const { section, link, rows } of boards) {
    const fits = Object.entries(conditions).every(([k, v]) => !v || section.dataset[k] === v);
    let shown = 0;
    for (const { row, text } of rows) {
      const hidden = !(fits && rowMatches(row, text, by, words));
      if (row.hidden !== hidden) row.hidden = hidden;
      shown += !hidden;
    }
    section.hidden = !shown;
    link.parentElement.hidden = !shown;
    count += shown;
  }
  document.getElementById("shown").textContent =
    count === 1 ? "1 entry shown" : `${count} entries shown`;
}
function toAddress() {
  const pairs = Object.entries(chosen()).filter(([, value]) => value);
  const state = new URLSearchParams(pairs).toString();
  if (location.hash.slice(1) !== state) location.replace(`#${state || "main"}`);
}
function fromAddress() {
  if (location.hash && location.hash !== "#main" && !location.hash.includes("=")) return;
  const state = new URLSearchParams(location.hash.slice(1));
  for (const control of controls) {
    control.value = state.get(control.name) || "";
    if (control.selectedIndex === -1) control.value = "";
  }
  showChosen();
}
let waiting = 0;
function later() {
  clearTimeout(waiting);
  waiting = setTimeout(toAddress, 300);
}
for (const control of controls) {
  control.addEventListener("input", () => { showChosen(); later(); });
}
document.getElementById("reset").addEventListener("click", () => {
  for (const control of controls) control.value = "";
  showChosen();
  toAddress();
});
filters.hidden = false;
addEventListener("hashchange", fromAddress);
if (location.hash.includes("=")) fromAddress();
