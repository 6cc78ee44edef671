"use strict";
// The slider for beta: figures over all prompts between the computed strengths, and news for opened prompts.
(() => {
  const { data, plots, drawPlots } = window.polymode;
  const sweep = data("sweep");
  const PARTS = 8; // positions of the slider between two computed strengths
  const slider = document.getElementById("beta-slider");
  const said = document.getElementById("beta-value");
  const rows = [...document.querySelectorAll("#table-beta tbody tr")];
  const logs = sweep.betas.map(Math.log);

  // Straight lines in log beta, and what was computed itself at the positions of computed strengths.
  function between(values, position) {
    const left = Math.floor(position / PARTS), part = (position % PARTS) / PARTS;
    if (!values.length) return undefined;
    if (part === 0) return values[left];
    const [a, b] = [values[left], values[left + 1]];
    return a === null || b === null ? null : a + part * (b - a);
  }
  const short = (value) => {
    if (value === undefined) return "";
    if (value === null) return "-";
    const size = Math.abs(value);
    if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(2);
    return size < 1 ? value.toFixed(3) : value.toLocaleString("en", { minimumSignificantDigits: 3, maximumSignificantDigits: Math.max(3, Math.floor(Math.log10(size)) + 1) });
  };

  let waiting = false;
  function show() {
    waiting = false;
    const position = Number(slider.value);
    const beta = position === sweep.own * PARTS ? sweep.betas[sweep.own] : Math.exp(between(logs, position));
    const words = String(Number(beta.toPrecision(3)));
    said.textContent = words;
    slider.setAttribute("aria-valuetext", `beta ${words}`);
    rows.forEach((row, i) => {
      row.cells[1].textContent = short(between(sweep.rows[i].target, position));
      row.cells[2].textContent = short(between(sweep.rows[i].anchored, position));
    });
    const line = { type: "line", x0: beta, x1: beta, yref: "paper", y0: 0, y1: 1, line: { color: "@ink", width: 1.5 } };
    for (const name of sweep.plots) plots[name].layout.shapes = [line];
    drawPlots(sweep.plots);
    window.polymode.beta = beta;
    document.dispatchEvent(new Event("polymode-beta"));
  }
  const later = () => { if (!waiting) { waiting = true; requestAnimationFrame(show); } };

  slider.max = String((sweep.betas.length - 1) * PARTS);
  slider.value = String(sweep.own * PARTS);
  slider.closest(".control").hidden = false;
  slider.addEventListener("input", later);
  document.getElementById("beta-own").addEventListener("click", () => {
    slider.value = String(sweep.own * PARTS);
    show();
  });
  show();
})();
