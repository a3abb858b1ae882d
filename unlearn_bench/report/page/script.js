"use strict";
(() => {
  const tip = document.getElementById("tip");
  const add = (parent, name, text) => {
    const element = parent.appendChild(document.createElement(name));
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // One tooltip for cells and charts. All content is inserted as text, never as HTML.
  const show = (x, y) => {
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${y + 18 + height < innerHeight ? y + 18 : Math.max(8, y - height - 12)}px`;
  };
  const hide = () => { tip.hidden = true; };
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", hide, { capture: true, passive: true });

  // Cells: show every configuration of a value.
  const describe = (cell, row) => {
    tip.replaceChildren();
    const metric = cell.dataset.metric;
    add(tip, "strong", `${row.label}, ${metric}: ${cell.textContent.trim()}`);
    const body = add(add(tip, "table"), "tbody");
    const many = row.runs.length > 12;
    for (const run of row.runs.slice(0, 12)) {
      const line = add(body, "tr");
      add(line, "td", `forget ${run.forget}, seed ${run.seed}`);
      add(line, "td", metric in run.values ? String(run.values[metric]) : run.status);
      add(line, "td", `run ${run.run}`);
    }
    if (many) add(tip, "p", `and ${row.runs.length - 12} more, see the list of every configuration`);
    if (!row.runs.length) add(tip, "p", "No run is recorded.");
    if (row.options) add(tip, "p", `Options: ${row.options}`);
    if (row.by) add(tip, "p", row.by);
  };
  for (const section of document.querySelectorAll("section.table")) {
    const rows = JSON.parse(section.querySelector("script.runs").textContent);
    for (const cell of section.querySelectorAll("td[data-row]")) {
      const row = rows[Number(cell.dataset.row)];
      const at = (x, y) => {
        describe(cell, row);
        show(x, y);
        cell.setAttribute("aria-describedby", "tip");
      };
      const leave = () => { hide(); cell.removeAttribute("aria-describedby"); };
      cell.addEventListener("mousemove", (event) => at(event.clientX, event.clientY));
      cell.addEventListener("mouseleave", leave);
      cell.addEventListener("focus", () => {
        const box = cell.getBoundingClientRect();
        at(box.left, box.bottom - 12);
      });
      cell.addEventListener("blur", leave);
    }
  }

  // Tables: sort by a heading; numbers by value, missing values last.
  const key = (cell) => {
    const text = cell.dataset.sort ?? cell.textContent.trim();
    if (text === "" || text === "–") return null;
    const number = parseFloat(text.replace("−", "-"));
    return /^[+−-]?[\d.]/.test(text) && !Number.isNaN(number) ? number : text;
  };
  const compare = (left, right) => {
    if (left === null || right === null) return (left === null) - (right === null);
    if (typeof left === "number" && typeof right === "number") return left - right;
    return String(left).localeCompare(String(right), "en", { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[column]), row]);
        rows.sort(([left], [right]) =>
          compare(left, right) * (down && left !== null && right !== null ? -1 : 1));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  // Charts: drawn in the colours of the page, and redrawn if these change or the page is printed.
  const theme = (printing) => {
    const style = getComputedStyle(document.documentElement);
    const printed = { text: "#000", quiet: "#333", line: "#999", mark: "#0b57a4", half: "#a9c8e6", band: "#e3e6ea" };
    const color = (name) => (printing ? printed[name] : style.getPropertyValue(`--${name}`).trim());
    return {
      background: "transparent",
      font: "system-ui, sans-serif",
      view: { stroke: "transparent" },
      axis: { labelColor: color("text"), titleColor: color("quiet"), gridColor: color("line"), gridOpacity: 0.6,
        domainColor: color("line"), tickColor: color("line"), titleFontWeight: "normal", labelFontSize: 11 },
      legend: { labelColor: color("text"), titleColor: color("quiet") },
      mark: { color: color("mark") },
      text: { color: color("text"), fill: color("text"), fontSize: 11 },
      rule: { color: color("quiet") },
      style: { outline: { stroke: color("mark") } },
      params: [{ name: "mark_color", value: color("mark") }, { name: "mark_half", value: color("half") },
        { name: "band_color", value: color("band") }],
    };
  };
  const tooltip = (_handler, event, _item, value) => {
    if (value === null || value === undefined || value === "") { hide(); return; }
    tip.replaceChildren();
    const body = add(add(tip, "table"), "tbody");
    for (const [name, text] of Object.entries(value)) {
      const line = add(body, "tr");
      add(line, "td", name);
      add(line, "td", String(text));
    }
    show(event.clientX, event.clientY);
  };
  const charts = [...document.querySelectorAll("figure")].map((figure) => ({
    container: figure.querySelector(".chart"),
    canvas: add(figure.querySelector(".chart"), "div"), // Vega replaces the attributes of its element
    spec: JSON.parse(figure.querySelector("script.spec").textContent),
  }));
  const draw = async (chart, printing) => {
    const spec = { width: "container", autosize: { type: "fit-x", contains: "padding" }, ...chart.spec };
    const drawn = await vegaEmbed(chart.canvas, spec, {
      renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip, config: theme(printing),
    });
    chart.finish?.();
    chart.finish = () => drawn.finalize();
    chart.drawn = true;
  };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      draw(charts.find((chart) => chart.container === entry.target), false);
    }
  }, { rootMargin: "600px" });
  charts.forEach((chart) => near.observe(chart.container));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    charts.filter((chart) => chart.drawn).forEach((chart) => draw(chart, false)));
  addEventListener("beforeprint", () => charts.forEach((chart) => draw(chart, true)));
  addEventListener("afterprint", () => charts.forEach((chart) => draw(chart, false)));
})();
