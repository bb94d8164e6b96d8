"use strict";
(async () => {
  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "toImage"],
  };

  // Files leave the page through a link that exists for one click.
  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const button = (text, action) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", action);
    return made;
  };
  const tools = (...buttons) => {
    const made = document.createElement("div");
    made.className = "tools";
    made.append(...buttons);
    return made;
  };

  // Tables: sorting, and export of the rows that the filters leave.
  const value = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.value === undefined ? cell.textContent : cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const head of document.querySelectorAll("table.results th button")) {
    head.addEventListener("click", () => {
      const cell = head.closest("th");
      const sign = cell.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of cell.parentElement.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      for (const body of cell.closest("table").tBodies) {
        const rows = [...body.rows].filter((row) => row.dataset.run !== undefined);
        rows.sort((a, b) => {
          const [x, y] = [value(a, cell.cellIndex), value(b, cell.cellIndex)];
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * compare(x, y);
        });
        rows.forEach((row) => body.append(row));
      }
    });
  }

  const headings = (table) => {
    const groups = [...table.querySelectorAll("tr.over > *")].flatMap((cell) => Array(cell.colSpan).fill(cell.textContent));
    return [...table.querySelector("tr.heads").cells].map((cell, index) => [groups[index], cell.textContent].filter(Boolean).join(": "));
  };
  const rowsOf = (table) => [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !row.hidden);
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const plain = (cell) => {
    if (cell.dataset.value !== undefined) return cell.dataset.value;
    const text = cell.textContent;
    if (text === "\u2013") return "";
    return /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  };
  const csv = (table) =>
    [headings(table), ...rowsOf(table).map((row) => [...row.cells].map(plain))].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  const signs = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}" };
  Object.assign(signs, { "|": "\\textbar{}", "\u2212": "$-$", "\u2013": "--", "\u00b1": "$\\pm$" });
  const tex = (text) => text.replace(/[\\&%$#_{}~^<>|\u2212\u2013\u00b1]/g, (sign) => signs[sign] ?? `\\${sign}`);
  const latex = (table) => {
    const row = (texts) => `${texts.map(tex).join(" & ")} \\\\`;
    const columns = [...table.querySelector("tr.heads").cells].map((cell) => (cell.classList.contains("figure") ? "r" : "l")).join("");
    const body = rowsOf(table).map((each) => row([...each.cells].map((cell) => cell.textContent)));
    return [`\\begin{tabular}{${columns}}`, "\\hline", row(headings(table)), "\\hline", ...body, "\\hline", "\\end{tabular}", ""].join("\n");
  };
  document.querySelectorAll("table.results").forEach((table, index) => {
    const name = `table-${index + 1}`;
    const buttons = [
      button("CSV", () => save(`${name}.csv`, "text/csv", csv(table))),
      button("LaTeX", () => save(`${name}.tex`, "application/x-tex", latex(table))),
    ];
    table.closest(".wide").after(tools(...buttons));
  });

  // Filters: what belongs to something that is not asked for is hidden; among the rest of a place the front comes first.
  const table = document.querySelector("#choices table.results");
  const filters = [...document.querySelectorAll("select[data-filter]")];
  const onlyFront = document.querySelector("input[data-front]");
  const number = (text) => (text === "" ? null : Number(text));
  const choices = table ? rowsOf(table).map((row) => ({ row, place: row.dataset.place, up: number(row.dataset.up), across: number(row.dataset.across) })) : [];
  const beats = (a, b) => a.place === b.place && a.up >= b.up && a.across <= b.across && (a.up > b.up || a.across < b.across);
  const asked = (row) => filters.every((select) => select.value === "" || row.dataset[select.dataset.filter] === undefined || row.dataset[select.dataset.filter] === select.value);
  const filter = () => {
    for (const select of filters) {
      const kind = select.dataset.filter;
      for (const part of document.querySelectorAll(`main [data-${kind}]`)) part.hidden = !asked(part);
    }
    const left = choices.filter((choice) => asked(choice.row));
    const known = left.filter((choice) => choice.up !== null && choice.across !== null);
    for (const choice of choices) {
      choice.best = known.includes(choice) && !known.some((other) => beats(other, choice));
      choice.row.classList.toggle("best", choice.best);
    }
    const seen = left.filter((choice) => choice.best || !onlyFront.checked);
    for (const choice of left) choice.row.hidden = !seen.includes(choice);
    const order = [...choices].sort((a, b) => a.place - b.place || b.best - a.best || (b.up ?? -1) - (a.up ?? -1) || a.across - b.across);
    for (const choice of order) table.tBodies[0].append(choice.row);
    for (const head of table.querySelectorAll("th[aria-sort]")) head.removeAttribute("aria-sort");
    document.querySelector(".filters output").textContent = `${seen.length} of ${choices.length}`;
    drawChoices(new Map(seen.map((choice) => [Number(choice.row.dataset.point), choice.best])));
  };

  const inflated = async (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  };
  let figures = null;

  // A figure is drawn when it is first seen: plotly cannot measure what is hidden.
  const draw = (place) => {
    if (!figures) return;
    for (const picture of place.querySelectorAll("[data-figure]")) {
      if (picture.dataset.drawn || picture.closest("[hidden]")) continue;
      picture.dataset.drawn = "yes";
      const figure = figures[picture.dataset.figure];
      // Where the figure scrolls, a finger that is drawn across it scrolls and does not zoom.
      const layout = matchMedia("(max-width: 1060px)").matches ? { ...figure.layout, dragmode: false } : figure.layout;
      Plotly.newPlot(picture, figure.data, layout, config);
      const filename = picture.dataset.figure;
      picture.after(tools(button("SVG", () => Plotly.downloadImage(picture, { format: "svg", filename }))));
    }
  };

  const drawChoices = (seen) => {
    const picture = document.querySelector("#choices [data-figure]");
    if (!figures || !picture) return;
    const { data, layout } = figures[picture.dataset.figure];
    const used = new Set();
    const parts = data.map((part) => {
      if (!part.customdata) return part;
      const indices = part.customdata.map((_, index) => index).filter((index) => seen.has(part.customdata[index]));
      if (indices.length) used.add(part.legendgroup);
      const pick = (list) => indices.map((index) => list[index]);
      const marker = { ...part.marker, symbol: pick(part.marker.symbol), opacity: indices.map((index) => (seen.get(part.customdata[index]) ? 1 : 0.3)) };
      return { ...part, x: pick(part.x), y: pick(part.y), hovertext: pick(part.hovertext), customdata: pick(part.customdata), marker };
    });
    const shown = parts.filter((part) => part.customdata || !part.legendgroup || used.has(part.legendgroup));
    Plotly.react(picture, shown, layout, config);
  };

  for (const select of document.querySelectorAll("select[data-choice]")) {
    const panels = document.querySelectorAll(`[data-panel="${select.dataset.choice}"]`);
    const show = () => {
      panels.forEach((panel, index) => { panel.hidden = index !== select.selectedIndex; });
      panels.forEach(draw);
    };
    select.addEventListener("change", show);
    show();
  }
  if (table) {
    for (const control of [...filters, onlyFront]) control.addEventListener("change", () => { filter(); draw(document); });
    filter();
  }

  const plotly = document.createElement("script");
  [figures, plotly.textContent] = await Promise.all([inflated("figures").then(JSON.parse), inflated("plotly")]);
  document.head.append(plotly);
  draw(document);
})();
