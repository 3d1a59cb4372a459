// Two entries side by side, from the data in the page; `#a=KEY&b=KEY` names them.
const data = JSON.parse(document.getElementById("data").textContent);
const byKey = new Map(data.entries.map((entry) => [entry.k, entry]));
const sides = ["a", "b"];
const pickers = sides.map((side) => document.getElementById(side));
function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.append(text);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
function fillPicker(picker) {
  data.boards.forEach(([, title], place) => {
    const group = element("optgroup", "", { label: title });
    for (const entry of data.entries) {
      if (entry.b === place) group.append(element("option", `${entry.n} (${entry.a})`, { value: entry.k }));
    }
    picker.append(group);
  });
}
function row(title, one, other, meaning) {
  const line = element("tr", "");
  const head = element("th", title, { scope: "row" });
  if (meaning) head.append(element("span", meaning, { class: "soft" }));
  line.append(head, element("td", one, { class: "number" }), element("td", other, { class: "number" }));
  return line;
}
function points(number) {
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
}
function seedNote(one, other) {
  if (one.b !== other.b) {
    return "These two stand on different boards: their conditions differ, so their accuracies are not comparable.";
  }
  const shared = Object.keys(one.s).filter((seed) => seed in other.s);
  if (!shared.length) return "They have no seed in common.";
  const differences = shared.map((seed) => one.s[seed] - other.s[seed]);
  const mean = differences.reduce((sum, value) => sum + value, 0) / shared.length;
  return `Over the ${shared.length} seed${shared.length > 1 ? "s" : ""} that both have, the first minus the second is ${points(mean)} points in the mean. Whether that is beyond the noise, lra-design compare says.`;
}
function heading(entry) {
  const cell = element("th", "", { scope: "col", class: "number" });
  const link = element("a", "", { href: `entries/${entry.k}.html` });
  link.append(element("bdi", entry.n));
  cell.append(link, element("span", entry.a, { class: "soft" }));
  return cell;
}
function show(one, other) {
  const head = element("tr", "");
  head.append(element("th", "", { scope: "col" }), heading(one), heading(other));
  const seeds = [...new Set([...Object.keys(one.s), ...Object.keys(other.s)])].sort((a, b) => a - b);
  const seedText = (entry, seed) => (seed in entry.s ? entry.s[seed].toFixed(2) : "–");
  document.getElementById("heads").replaceChildren(head);
  document.getElementById("figures").replaceChildren(
    row("Board", data.boards[one.b][1], data.boards[other.b][1]),
    row("Place", one.p, other.p),
    row("Test, %", one.t[0], other.t[0]),
    row("95 % interval, %", one.t[1], other.t[1]),
    ...data.columns.flatMap(([title, meaning], i) => (
      one.c[i] === "–" && other.c[i] === "–" ? [] : [row(title, one.c[i], other.c[i], meaning)])),
    ...seeds.map((seed) => row(`Seed ${seed}, test, %`, seedText(one, seed), seedText(other, seed))),
  );
  document.getElementById("verdict").textContent = seedNote(one, other);
}
function update() {
  const entries = pickers.map((picker) => byKey.get(picker.value));
  const both = entries.every(Boolean);
  document.getElementById("outcome").hidden = !both;
  if (both) show(...entries);
}
function fromAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  sides.forEach((side, i) => { pickers[i].value = byKey.has(state.get(side)) ? state.get(side) : ""; });
  update();
}
pickers.forEach((picker) => {
  fillPicker(picker);
  picker.addEventListener("change", () => {
    location.replace(`#${new URLSearchParams(sides.map((side, i) => [side, pickers[i].value]))}`);
    update();
  });
});
document.getElementById("without").hidden = true;
document.getElementById("chooser").hidden = false;
addEventListener("hashchange", fromAddress);
fromAddress();
