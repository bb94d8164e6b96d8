"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
  };

  // A figure is drawn when it is first seen: plotly cannot measure what is hidden.
  const draw = (place) => {
    for (const picture of place.querySelectorAll("[data-figure]")) {
      if (picture.dataset.drawn || picture.closest("[hidden]")) continue;
      picture.dataset.drawn = "yes";
      const figure = figures[picture.dataset.figure];
      Plotly.newPlot(picture, figure.data, figure.layout, config);
    }
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

  const value = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.value === undefined ? cell.textContent : cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const button of document.querySelectorAll("table.results th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      for (const body of head.closest("table").tBodies) {
        const rows = [...body.rows].filter((row) => row.dataset.run !== undefined);
        rows.sort((a, b) => {
          const [x, y] = [value(a, head.cellIndex), value(b, head.cellIndex)];
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * compare(x, y);
        });
        rows.forEach((row) => body.append(row));
      }
    });
  }

  draw(document);
})();
