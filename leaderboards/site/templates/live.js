// A served page asks whether something is new, and loads itself again when there is: with the same
// places scrolled to, fields filled in, columns sorted, parts opened and focus. It can be paused.
{
  const strip = document.querySelector(".live");
  const status = strip.querySelector("[role=status]");
  const kept = sessionStorage, place = "live " + location.pathname;
  const boxes = () => document.querySelectorAll(".scroll, pre");
  const fields = () => document.querySelectorAll("input, select");
  const parts = () => document.querySelectorAll("details");
  const heads = () => document.querySelectorAll("th[data-sort]");
  const stops = () => document.querySelectorAll("a, button, input, select, summary, [tabindex]");
  function keep() {
    kept.setItem(place, JSON.stringify({
      page: [scrollX, scrollY],
      boxes: Array.from(boxes(), (box) => [box.scrollLeft, box.scrollTop]),
      fields: Array.from(fields(), (field) => [field.value, field.checked]),
      parts: Array.from(parts(), (part) => part.open),
      heads: Array.from(heads(), (head) => head.getAttribute("aria-sort")),
      stop: Array.from(stops()).indexOf(document.activeElement),
      link: document.activeElement.getAttribute("href"),
    }));
  }
  function restore(was) {
    fields().forEach((field, i) => {
      const [value, checked] = was.fields[i] || [field.value, field.checked];
      if (field.value === value && field.checked === checked) return;
      field.value = value;
      field.checked = checked;
      for (const name of ["input", "change"]) field.dispatchEvent(new Event(name, { bubbles: true }));
    });
    heads().forEach((head, i) => {
      const button = head.querySelector("button");
      for (let k = 0; k < 2 && button && was.heads[i]; k++) {
        if (head.getAttribute("aria-sort") !== was.heads[i]) button.click();
      }
    });
    parts().forEach((part, i) => { part.open = was.parts[i] === undefined ? part.open : was.parts[i]; });
    const same = Array.from(stops()).find((stop) => was.link && stop.getAttribute("href") === was.link);
    const stop = was.link ? same : stops()[was.stop];
    if (stop) stop.focus({ preventScroll: true });
    boxes().forEach((box, i) => box.scrollTo(...(was.boxes[i] || [0, 0])));
    scrollTo(...was.page);
  }
  const pause = document.createElement("button");
  pause.type = "button";
  pause.textContent = "Pause";
  pause.setAttribute("aria-pressed", kept.getItem("live paused") === "yes");
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", paused);
    kept.setItem("live paused", paused ? "yes" : "no");
  });
  strip.append(pause);
  async function ask() {
    let text = "Live: the server does not answer; the page is as it was.";
    try {
      const found = await (await fetch("/version.json", { cache: "no-store" })).json();
      const waits = pause.getAttribute("aria-pressed") === "true" || !getSelection().isCollapsed;
      text = found.line;
      if (found[strip.dataset.kind] !== strip.dataset.version) {
        if (waits) text += " There is something new: load the page again to see it.";
        else { keep(); location.reload(); }
      }
    } catch {}
    if (status.textContent !== text) status.textContent = text;
  }
  const was = kept.getItem(place);
  kept.removeItem(place);
  if (was) restore(JSON.parse(was));
  setInterval(() => { if (!document.hidden) ask(); }, 3000);
}
