// Finds names by the words typed, in any order; whole words of the last part of a name come first.
const input = document.getElementById("search");
const list = document.getElementById("found");
const LONGEST = 40;

function rank([name, , , summary], words) {
  const whole = name.toLowerCase();
  const last = whole.slice(whole.lastIndexOf(".") + 1);
  let sum = 0;
  for (const word of words) {
    if (last === word) sum += 8;
    else if (last.startsWith(word)) sum += 4;
    else if (last.includes(word)) sum += 3;
    else if (whole.includes(word)) sum += 2;
    else if (summary.toLowerCase().includes(word)) sum += 1;
    else return 0;
  }
  return sum;
}

function show() {
  const words = input.value.toLowerCase().split(/[\s/]+/).filter(Boolean);
  const ranked = words.length ? INDEX.map((entry) => [rank(entry, words), entry]).filter(([sum]) => sum) : [];
  ranked.sort(([one, first], [other, second]) => other - one || first[0].length - second[0].length);
  list.replaceChildren(
    ...ranked.slice(0, LONGEST).map(([, [name, kind, place, summary]]) => {
      const item = document.createElement("li");
      const link = item.appendChild(document.createElement("a"));
      link.href = place;
      link.textContent = name;
      link.appendChild(document.createElement("small")).textContent = `${kind}: ${summary}`;
      return item;
    }),
  );
  list.hidden = ranked.length === 0;
}

input.addEventListener("input", show);
list.addEventListener("click", () => { list.hidden = true; });
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== input) {
    event.preventDefault();
    input.focus();
  } else if (event.key === "Escape") {
    list.hidden = true;
  } else if (event.key === "Enter" && document.activeElement === input && list.firstChild) {
    list.querySelector("a").click();
  }
});
