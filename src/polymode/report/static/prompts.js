"use strict";
// The table of prompts: sorted, filtered, in pages; a prompt opens to its outputs. Text is put in place as text only.
(() => {
  const { data } = window.polymode;
  const table = data("prompts"), columns = table.columns;
  const n = table.texts.length;
  let outputs; // parsed when the first prompt is opened
  const ROWS = 25;
  const make = (tag, classes, text) => {
    const element = document.createElement(tag);
    if (classes) element.className = classes;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const number = (value, digits = 3) => {
    if (value === null || value === undefined) return "-";
    const size = Math.abs(value);
    if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(digits - 1);
    return value.toLocaleString("en", { maximumSignificantDigits: Math.max(digits, Math.floor(Math.log10(size || 1)) + 1) });
  };
  const percent = (share) => {
    if (share === null || share === undefined || Number.isNaN(share)) return "-";
    if (share > 0 && share < 0.001) return "< 0.1 %";
    return `${(100 * share).toFixed(share === 0 || share >= 0.0995 ? 0 : 1)} %`;
  };
  const ends = (name, i, write) => (columns[`${name}_low`][i] === null ? "" : `[${write(columns[`${name}_low`][i])}, ${write(columns[`${name}_high`][i])}]`);

  // Columns of the table: title, unit, key for sorting, what is shown.
  const HEADS = [
    { title: "prompt", key: (i) => table.texts[i], text: true },
    { title: "kept", unit: "of good modes", key: (i) => columns.kept[i], show: (i) => percent(columns.kept[i]), detail: (i) => ends("kept", i, percent) },
    { title: "verdict", key: (i) => table.labels[table.verdicts[i]], text: true },
    { title: "good modes", unit: "within reach", key: (i) => columns.good_modes[i] },
    { title: "objective", unit: "good modes", key: (i) => columns.target_modes[i] },
    { title: "anchored", unit: "good modes", key: (i) => columns.anchored_modes[i] },
    { title: "good", unit: "probability", key: (i) => columns.mass_good[i], show: (i) => percent(columns.mass_good[i]) },
    { title: "reward", unit: "expected", key: (i) => columns.reward[i] },
    { title: "samples", key: (i) => columns.samples[i] },
    { title: "effective", unit: "samples", key: (i) => columns.ess[i] },
  ];
  const body = document.querySelector("#table-prompts tbody");
  const heads = HEADS.map((column, at) => {
    const head = make("th", column.text ? "" : "number");
    head.scope = "col";
    head.setAttribute("aria-sort", "none");
    const button = make("button", "", column.title);
    button.type = "button";
    const arrow = make("span", "arrow");
    arrow.setAttribute("aria-hidden", "true");
    button.append(arrow);
    button.addEventListener("click", () => sort(at));
    head.append(button);
    if (column.unit) head.append(make("span", "unit", column.unit));
    return head;
  });
  document.querySelector("#table-prompts thead tr").append(...heads);

  // What is shown: worst first until a head is pressed; what has no value comes last either way.
  const everything = Array.from({ length: n }, (_, i) => i);
  let sorted = everything, shown = everything, start = 0;
  const opened = new Set();
  function sort(at) {
    const { key, text } = HEADS[at];
    const now = heads[at].getAttribute("aria-sort");
    const down = now === "none" ? !text : now === "ascending";
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== at ? "none" : down ? "descending" : "ascending"));
    const order = text ? new Intl.Collator("en", { numeric: true }).compare : (a, b) => a - b;
    sorted = [...everything].sort((i, j) => {
      const a = key(i), b = key(j);
      if (a === null || b === null) return (a === null) - (b === null);
      return (down ? order(b, a) : order(a, b)) || i - j;
    });
    filter();
  }

  const find = document.getElementById("prompts-find");
  const verdict = document.getElementById("prompts-verdict");
  const reliable = document.getElementById("prompts-reliable");
  function filter() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = sorted.filter((i) => (verdict.value === "" || table.verdicts[i] === Number(verdict.value))
      && (!reliable.checked || table.reliable[i])
      && (!words.length || words.every((word) => table.texts[i].toLowerCase().includes(word))));
    start = 0;
    render();
  }
  for (const control of [find, verdict, reliable]) control.addEventListener("input", filter);
  find.form.addEventListener("submit", (event) => event.preventDefault());

  const range = document.getElementById("prompts-range");
  const steps = [...document.querySelectorAll("[data-step]")];
  function render() {
    const last = Math.max(0, Math.floor((shown.length - 1) / ROWS) * ROWS);
    start = Math.min(start, last);
    const page = shown.slice(start, start + ROWS);
    body.replaceChildren(...page.flatMap((i) => (opened.has(i) ? [row(i), inside(i)] : [row(i)])));
    range.textContent = page.length ? `${(start + 1).toLocaleString("en")}–${(start + page.length).toLocaleString("en")} of ${shown.length.toLocaleString("en")} prompts` : "no prompt is like that";
    for (const step of steps) step.disabled = step.dataset.step === "first" || step.dataset.step === "back" ? start === 0 : start === last;
  }
  for (const step of steps) step.addEventListener("click", () => {
    const last = Math.floor((shown.length - 1) / ROWS) * ROWS;
    start = { first: 0, back: Math.max(0, start - ROWS), on: Math.min(last, start + ROWS), last }[step.dataset.step];
    render();
  });

  function row(i) {
    const tr = make("tr");
    tr.dataset.prompt = i;
    const head = make("th");
    head.scope = "row";
    const button = make("button", "open", table.texts[i].slice(0, 140).replace(/\s+/g, " ") || "(empty)");
    button.type = "button";
    button.setAttribute("aria-expanded", String(opened.has(i)));
    button.addEventListener("click", () => toggle(i, tr, button));
    head.append(button);
    const cells = HEADS.slice(1).map((column) => {
      const value = column.show ? column.show(i) : column.text ? column.key(i) : number(column.key(i));
      const cell = make("td", column.text ? "" : "number", value);
      const detail = column.detail?.(i);
      if (detail) cell.append(make("span", "detail", detail));
      return cell;
    });
    if (!table.reliable[i]) cells[1].append(make("span", "detail", "not reliable"));
    tr.append(head, ...cells);
    return tr;
  }
  function toggle(i, tr, button) {
    const open = !opened.has(i);
    button.setAttribute("aria-expanded", String(open));
    if (open) { opened.add(i); tr.after(inside(i)); } else { opened.delete(i); tr.nextElementSibling.remove(); }
  }

  // An opened prompt.
  const WEIGHTS = ["reference", "target", "anchored", "policy"];
  function inside(i) {
    outputs ??= data("outputs");
    const tr = make("tr", "inside"), cell = make("td"), box = make("div", "inside-box");
    cell.colSpan = HEADS.length;
    box.append(make("pre", "whole", table.texts[i] || "(empty)"), facts(i));
    const list = make("ol", "outputs");
    const first = outputs.starts[i], end = outputs.starts[i + 1];
    for (let k = first; k < end; k++) list.append(item(k));
    box.append(list);
    const left = outputs.leftOut[i];
    const note = make("p", "more");
    box.append(note);
    cell.append(box);
    tr.append(cell);
    tr.update = () => weigh(list, first, end, left, note, i);
    tr.update();
    return tr;
  }
  function facts(i) {
    const list = make("dl", "small-facts");
    const nats = (name) => `${number(columns[name][i])} ${ends(name, i, number)}`;
    const said = [
      ["diversity of the good modes within reach, nats", columns.ceiling[i] === null ? "fewer than two good modes" : nats("ceiling")],
      ["lost to reference bias", columns.ceiling[i] === null ? null : nats("reference_bias")],
      ["lost to reward gaps", columns.ceiling[i] === null ? null : nats("reward_gaps")],
      ["lost to the optimiser", columns.ceiling[i] === null || !columns.optimiser ? null : nats("optimiser")],
      ["left", columns.ceiling[i] === null ? null : nats("left")],
      ["Pareto-k", columns.pareto_k[i] === -9 ? "no tail" : columns.pareto_k[i] === 99 ? "infinite" : number(columns.pareto_k[i])],
      ["target seen", percent(columns.target_seen[i])],
      ["group that shows the rarest good mode", number(columns.group_size[i])],
    ];
    for (const [name, value] of said) {
      if (value === null) continue;
      const pair = make("div");
      pair.append(make("dt", "", name), make("dd", "", value));
      list.append(pair);
    }
    return list;
  }
  function item(k) {
    const li = make("li"), left = make("div", "said"), right = make("div", "weights");
    const text = outputs.texts[outputs.text[k]], mode = outputs.modes[outputs.mode[k]];
    left.append(make("pre", "", text || "(empty)"));
    const meta = make("p", "count", `reward ${number(outputs.reward[k], 4)} · drawn ${number(outputs.drawn[k])}× · log q ${number(outputs.logq[k], 4)}`);
    if (mode === "") meta.append(" · no answer");
    else if (mode !== text) { meta.append(" · mode "); meta.append(make("bdi", "", mode)); }
    left.append(meta);
    for (const name of WEIGHTS) {
      if (name === "policy" && !outputs.policy) continue;
      const line = make("div", `weight ${name}`), bar = make("span", "bar-box");
      bar.append(make("i"));
      bar.setAttribute("aria-hidden", "true");
      line.append(make("span", "whose", table.names[name]), bar, make("span", "percent"));
      right.append(line);
    }
    li.append(left, right);
    return li;
  }

  // Shares among the outputs that are listed. Under reverse KL, exactly: t ∝ q exp(r / beta).
  const softmax = (logs) => {
    const top = Math.max(...logs);
    if (top === -Infinity) return logs.map(() => NaN);
    const weights = logs.map((x) => Math.exp(x - top));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / sum);
  };
  const logSum = (logs) => {
    const top = Math.max(...logs);
    return top === -Infinity ? top : top + Math.log(logs.reduce((sum, x) => sum + Math.exp(x - top), 0));
  };
  const relative = (values) => softmax(values.map((v) => Math.log(v ?? 0)));
  // How many outputs each one stands for: those that the draws were likely to miss count for more.
  // In logarithms: an output of a thousand tokens has a probability that no number can hold.
  function weighted(rows, i) {
    const n = columns.samples[i];
    const missing = rows.map((row) => {
      const unseen = n * Math.log1p(-Math.exp(Math.min(0, row.logDrawn))), shown = -Math.expm1(unseen);
      return unseen - (shown > 1e-8 ? Math.log(shown) : Math.log(n) + row.logDrawn);
    });
    const seen = rows.reduce((sum, row) => sum + Math.exp(row.logq), 0);
    const tail = logSum(rows.map((row, k) => row.logq + missing[k]));
    const scale = tail > -Infinity ? Math.min(Math.log(Math.max(1 - seen, 0)) - tail, Math.log(1e6)) : -Infinity;
    rows.forEach((row, k) => { row.logMass = row.logq + logSum([0, scale + missing[k]]); });
  }
  // The good mode that the reference likes best: its mass, and the best reward in it.
  function anchorOf(good) {
    const masses = new Map();
    for (const row of good) masses.set(row.mode, (masses.get(row.mode) ?? 0) + Math.exp(row.logMass));
    const [mode] = [...masses].reduce((a, b) => (b[1] > a[1] ? b : a));
    const own = good.filter((row) => row.mode === mode);
    return { reward: Math.max(...own.map((row) => row.reward)), first: own[0] };
  }
  function recomputed(rows, beta, i) {
    const target = softmax(rows.map((row) => row.logq + row.reward / beta));
    const good = rows.filter((row) => row.reward >= table.threshold && row.anchored > 0);
    if (!good.length) return { target, anchored: target };
    weighted(rows, i);
    const z = anchorOf(good);
    // The logarithm of the normaliser at the beta of the settings, from a bad output where one has weight there.
    const bad = rows.filter((row) => row.reward < table.threshold).reduce((a, b) => (a && a.anchored >= b.anchored ? a : b), null);
    const level = bad?.anchored > 1e-290
      ? bad.logq + bad.reward / table.beta - Math.log(bad.anchored)
      : z.first.logMass + z.reward / table.beta - Math.log(z.first.anchored);
    return {
      target,
      anchored: softmax(rows.map((row) => (row.reward >= table.threshold
        ? Math.log(row.anchored) + level + z.reward * (1 / beta - 1 / table.beta)
        : row.logq + row.reward / beta))),
    };
  }
  function weigh(list, first, end, left, note, i) {
    const beta = table.exact ? window.polymode.beta ?? table.beta : table.beta;
    const rows = [];
    for (let k = first; k < end; k++) {
      const logq = outputs.logq[k];
      rows.push({ mode: table.byOutput ? k : outputs.mode[k], reward: outputs.reward[k], logq, logDrawn: table.drawnFrom === "policy" ? Math.log(outputs.policy[k]) : logq, target: outputs.target[k], anchored: outputs.anchored[k] });
    }
    const shares = { reference: softmax(rows.map((row) => row.logq)) };
    Object.assign(shares, table.exact ? recomputed(rows, beta, i) : { target: relative(rows.map((row) => row.target)), anchored: relative(rows.map((row) => row.anchored)) });
    if (outputs.policy) shares.policy = relative(outputs.policy.slice(first, end));
    [...list.children].forEach((li, at) => {
      for (const line of li.querySelectorAll(".weight")) {
        const share = shares[line.classList[1]][at];
        line.querySelector("i").style.width = `${100 * (share || 0)}%`;
        line.querySelector(".percent").textContent = percent(share);
      }
    });
    const held = rows.reduce((sum, row) => sum + (row.target ?? 0), 0);
    note.textContent = `Shares among ${left ? `the ${end - first} outputs that are listed, ${percent(Math.min(1, held))} of the target at beta ${table.beta}; ${left.toLocaleString("en")} are left out` : "the outputs that were drawn"}. Objective and anchored are for beta ${Number(beta.toPrecision(3))}.`;
  }
  let waiting = false;
  document.addEventListener("polymode-beta", () => {
    if (waiting || !table.exact) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; for (const tr of body.querySelectorAll("tr.inside")) tr.update(); });
  });

  document.getElementById("prompts-box").hidden = false;
  render();
})();
