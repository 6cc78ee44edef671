"use strict";
// Theme, sortable tables, plots. Nothing here makes HTML of data.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const toggle = document.getElementById("theme");
  const remember = (value) => { try { localStorage.setItem("polymode-theme", value); } catch { /* no storage: then not */ } };
  const remembered = () => { try { return localStorage.getItem("polymode-theme"); } catch { return null; } };
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  function showTheme() {
    toggle.textContent = dark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
    toggle.setAttribute("aria-pressed", String(dark()));
    drawPlots();
  }
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember(root.dataset.theme);
    showTheme();
  });
  system.addEventListener("change", () => { if (!root.dataset.theme) showTheme(); });

  // Tables: numbers by value, text by alphabet, what has no value last either way.
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
  };
  function sort(table, column) {
    const heads = [...table.tHead.rows[0].cells];
    const number = heads[column].classList.contains("number");
    const now = heads[column].getAttribute("aria-sort");
    const next = now === "none" ? (number ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? next : "none"));
    const key = (row) => row.cells[column].dataset.sort;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return next === "ascending" ? compare(x, y) : compare(y, x);
    });
    table.tBodies[0].append(...rows);
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => sort(table, column));
    });
  }

  // Plots: the page's colours and fonts, taken from its style sheet.
  const data = (name) => JSON.parse(document.getElementById("data-" + name).textContent);
  const plots = data("plots");
  const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  function coloured(value) {
    if (typeof value === "string" && value.startsWith("@")) return style("--" + value.slice(1));
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v)]));
    return value;
  }
  function layoutOf(given, narrow) {
    const axis = { gridcolor: style("--line"), linecolor: style("--line"), zerolinecolor: style("--line"), tickcolor: style("--line"), automargin: true, ticks: "outside", ticklen: 4 };
    const layout = coloured(given);
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { family: style("--sans"), size: narrow ? 11 : 12, color: style("--soft") },
      margin: { l: 52, r: 16, t: 14, b: 46 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: style("--ink") } },
      hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--ink"), family: style("--sans") } },
      ...layout, xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
    };
  }
  function drawPlots(names) {
    for (const box of document.querySelectorAll("[data-plot]")) {
      if (names && !names.includes(box.dataset.plot)) continue;
      const plot = plots[box.dataset.plot];
      const options = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
      window.Plotly?.react(box, coloured(plot.traces), layoutOf(plot.layout, box.clientWidth < 420), options);
    }
  }

  window.polymode = { data, plots, drawPlots }; // for the scripts of widgets
  const before = remembered();
  if (before === "light" || before === "dark") root.dataset.theme = before;
  showTheme();
})();
