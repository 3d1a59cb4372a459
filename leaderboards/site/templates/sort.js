// Sorting by a column; without this script a page shows the same, in the order of the scores.
function cellValue(row, column) {
  const value = row.cells[column].dataset.value;
  return value === undefined ? null : value;
}
function compareValues(one, other, numeric) {
  return numeric ? Number(one) - Number(other) : one.localeCompare(other);
}
function withCopies(rows) {
  const groups = [];
  for (const row of rows) {
    if (row.classList.contains("copy") && groups.length) groups[groups.length - 1].push(row);
    else groups.push([row]);
  }
  return groups;
}
function sortBy(head, column) {
  const numeric = head.dataset.sort === "number";
  const before = head.getAttribute("aria-sort");
  const down = before ? before === "ascending" : head.dataset.first === "descending";
  const body = head.closest("table").tBodies[0];
  const groups = withCopies(body.rows).map((rows) => [cellValue(rows[0], column), rows]);
  groups.sort(([one], [other]) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return down ? compareValues(other, one, numeric) : compareValues(one, other, numeric);
  });
  body.append(...groups.flatMap(([, rows]) => rows));
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
