"use strict";
// Sorting by a column and opening an entry from its link; without this script the page shows the
// same, in the order of the scores.
function cellValue(row, column) {
  const value = row.cells[column].dataset.value;
  return value === undefined ? null : value;
}
function compare(one, other, numeric) {
  return numeric ? Number(one) - Number(other) : one.localeCompare(other);
}
function sortBy(head, column) {
  const numeric = head.dataset.sort === "number";
  const before = head.getAttribute("aria-sort");
  const down = before ? before === "ascending" : head.dataset.first === "descending";
  const body = head.closest("table").tBodies[0];
  const rows = Array.from(body.rows);
  rows.sort((a, b) => {
    const one = cellValue(a, column), other = cellValue(b, column);
    if (one === null || other === null) return (one === null) - (other === null);
    return down ? compare(other, one, numeric) : compare(one, other, numeric);
  });
  body.append(...rows);
  for (const cell of head.parentElement.cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}
for (const head of document.querySelectorAll("th[data-sort]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sortBy(head, head.cellIndex));
  head.append(button);
}
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
