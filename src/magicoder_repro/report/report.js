// The task-by-task view of report.html. It reads the packed data of the page and asks nothing of any network.
// Text of models and data only ever becomes a text node. Links: #task/SET/TASK[/LEFT/RIGHT], #set/SET[/LEFT/RIGHT], #cell/ID.
"use strict";
(() => {
  const WORDS = { P: "passed", b: "base tests only", ".": "failed" };
  const SHAPES = { P: "✓", b: "◐", ".": "✗" };
  const COLOURS = { passed: "#2f7d4f", failed: "#e3e7ea", edge: "#aab3ba", changed: "#b00020" };
  const by = (id) => document.getElementById(id);
  const state = { set: null, left: 0, right: 0, base: false, filter: "all", query: "", open: null };
  let sets = [];

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed.trim()), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  // Verdicts

  const passes = (mark) => mark === "P" || (state.base && mark === "b");
  function rate(answer) {
    if (!answer) return null;
    let passed = 0;
    for (const mark of answer[0]) passed += passes(mark);
    return passed / answer[0].length;
  }

  function verdict(answer) {
    if (!answer) return "no answer";
    const marks = answer[0];
    if (marks.length === 1) return WORDS[marks];
    return `${Math.round(rate(answer) * marks.length)} of ${marks.length} passed`;
  }

  function shape(answer) {
    if (!answer) return "·";
    return answer[0].length === 1 ? SHAPES[answer[0]] : `${Math.round(100 * rate(answer))}%`;
  }

  function compared() {
    return state.set.tasks.map((task, place) => {
      const left = rate(task[3][state.left]), right = rate(task[3][state.right]);
      if (left === null || right === null) return { task, place, apart: 0, kind: "missing" };
      return { task, place, apart: right - left, kind: KINDS[Number(most(left))][Number(most(right))] };
    });
  }
  const most = (share) => share > 0.5; // of one sample: whether it passes
  const KINDS = [["neither", "right"], ["left", "both"]];
  const differs = (row) => row.kind === "left" || row.kind === "right";

  // P(X <= k) twice, X binomial of n throws of a coin: the exact paired test of McNemar
  function mcnemar(one, other) {
    const n = one + other;
    if (!n) return 1;
    let term = Math.pow(0.5, n), sum = term;
    if (term === 0) return null;
    for (let k = 1; k <= Math.min(one, other); k++) sum += term *= (n - k + 1) / k;
    return Math.min(1, 2 * sum);
  }

  // Links

  const part = encodeURIComponent;
  function pair() {
    const names = state.set.models.map((model) => model.name);
    const usual = state.left === state.set.usual[0] && state.right === state.set.usual[1];
    return usual ? "" : `/${part(names[state.left])}/${part(names[state.right])}`;
  }
  const linkOfTask = (name) => `#task/${part(state.set.name)}/${part(name)}${pair()}`;

  function follow() {
    let parts;
    try {
      parts = location.hash.slice(1).split("/").map(decodeURIComponent);
    } catch {
      return;
    }
    if (parts[0] === "cell" || parts[0].startsWith("table-")) return reveal(by(parts.join("/")));
    const set = sets.find((one) => one.name === parts[1]);
    if (!set || !["task", "set"].includes(parts[0])) return;
    const names = parts.slice(parts[0] === "task" ? 3 : 2);
    choose(set, names[0], names[1]);
    const task = parts[0] === "task" ? set.tasks.find((one) => one[0] === parts[2]) : null;
    draw();
    if (task) show(task, true);
    else by("tasks").scrollIntoView();
  }

  function reveal(target) {
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView({ block: "center" });
  }

  function choose(set, left, right) {
    const at = (name, otherwise) => {
      const found = set.models.findIndex((model) => model.name === name);
      return found < 0 ? otherwise : found;
    };
    const [first, last] = set.usual;
    state.set = set;
    [state.open, state.filter, state.query] = [null, "all", ""];
    [state.left, state.right] = [at(left, first), at(right, last)];
    state.base = state.base && set.plus;
  }

  // The view

  function select(id, label, options, chosen, change) {
    const box = el("select", { id, onchange: (event) => change(event.target.value) });
    for (const [value, text] of options) box.append(el("option", { value, selected: value === chosen }, text));
    return el("label", { for: id }, el("span", {}, label), box);
  }

  function controls(rows) {
    const count = (kind) => rows.filter((row) => row.kind === kind).length;
    const models = state.set.models.map((model, place) => [String(place), model.label]);
    const redraw = (change) => (value) => { change(value); draw(); };
    const changed = count("left") + count("right");
    const boxes = [
      select("pick-set", "Benchmark", sets.map((set) => [set.name, set.title]), state.set.name,
        redraw((value) => choose(sets.find((set) => set.name === value)))),
      select("pick-left", "Left", models, String(state.left), redraw((value) => { state.left = Number(value); })),
      select("pick-right", "Right", models, String(state.right), redraw((value) => { state.right = Number(value); })),
      state.set.plus ? select("pick-tests", "Passed means", [["plus", "all tests"], ["base", "base tests"]], state.base ? "base" : "plus",
        redraw((value) => { state.base = value === "base"; })) : null,
      select("pick-kind", "Show", [
        ["all", `all ${rows.length} tasks`], ["changed", `differing (${changed})`], ["left", `only left passed (${count("left")})`],
        ["right", `only right passed (${count("right")})`], ["both", `both passed (${count("both")})`], ["neither", `both failed (${count("neither")})`],
      ], state.filter, redraw((value) => { state.filter = value; })),
      el("label", { for: "pick-text" }, el("span", {}, "Name contains"),
        el("input", { id: "pick-text", type: "search", value: state.query, oninput: (event) => { state.query = event.target.value; list(rows); } })),
    ];
    by("controls").replaceChildren(...boxes.filter(Boolean));
    for (const box of by("controls").querySelectorAll("select")) box.value = [...box.options].find((one) => one.hasAttribute("selected")).value;
  }

  function summary(rows) {
    const count = (kind) => rows.filter((row) => row.kind === kind).length;
    const [left, right] = [count("left"), count("right")];
    const several = state.set.tasks.some((task) => task[3].some((answer) => answer && answer[0].length > 1));
    const labels = [state.left, state.right].map((place) => state.set.models[place].label);
    const what = several ? "Most samples pass on one side only for" : "The two differ on";
    let text = `${what} ${left + right} of ${rows.length} tasks: ${left} passed only on the left (${labels[0]}), ${right} only on the right (${labels[1]})`;
    const p = several || state.left === state.right ? null : mcnemar(left, right);
    text += p === null ? "." : `. McNemar's exact test: p = ${p.toPrecision(2)}.`;
    by("drill-summary").textContent = text;
    by("drill-note").textContent = state.set.note;
  }

  function wanted(row) {
    const kinds = { all: true, changed: differs(row) };
    const kind = state.filter in kinds ? kinds[state.filter] : row.kind === state.filter;
    return kind && `${row.task[0]} ${row.task[1]}`.toLowerCase().includes(state.query.toLowerCase());
  }

  function list(rows) {
    const found = rows.filter(wanted);
    found.sort((one, other) => differs(other) - differs(one) || Math.abs(other.apart) - Math.abs(one.apart) || one.apart - other.apart || one.place - other.place);
    by("task-list").replaceChildren(...found.map((row) => {
      const { task, kind } = row;
      const answers = [task[3][state.left], task[3][state.right]];
      return el("li", { class: differs(row) ? "changed" : "", "data-kind": kind },
        el("a", { href: linkOfTask(task[0]), "aria-current": task === state.open ? "true" : null },
          el("span", { class: "name" }, task[0], task[1] ? el("small", {}, ` ${task[1]}`) : null),
          ...answers.map((answer) => el("span", { class: `mark m-${mood(answer)}`, title: verdict(answer) },
            shape(answer), el("span", { class: "hidden" }, ` ${verdict(answer)} `)))));
    }));
    const names = [state.left, state.right].map((place) => state.set.models[place].label);
    by("list-head").textContent = names.join(" | ");
    if (!found.length) by("task-list").append(el("li", { class: "none" }, "No task is like that."));
    return found;
  }

  function mood(answer) {
    const share = rate(answer);
    return share === null ? "none" : share === 1 ? "pass" : share === 0 ? "fail" : "part";
  }

  function side(place, task) {
    const model = state.set.models[place], answer = task[3][place];
    const asked = { magicoder: "Asked with the instruction prompt.", completion: "Asked with the bare code.", published: "Published answers." };
    const head = el("h4", {}, model.label, " ", el("span", { class: `mark m-${mood(answer)}` }, answer ? verdict(answer) : "no answer"));
    if (!answer) return el("div", { class: "side" }, head);
    const [marks, at, status, extras, text] = answer;
    const which = marks.length > 1 ? `Sample ${at + 1} of ${marks.length} is shown${marks[at] === "P" ? "" : ", the first that failed"}. ` : "";
    const strip = marks.length > 1 ? el("p", { class: "strip", role: "img", "aria-label": verdict(answer) }, [...marks].map((mark) => SHAPES[mark]).join("")) : null;
    return el("div", { class: "side" }, head,
      el("p", { class: "grey" }, `${which}Status: ${status || "none"}. ${asked[model.asked] || ""}${extras ? ` ${extras}` : ""}`), strip,
      text ? el("pre", { tabindex: "0", "aria-label": `Completion of ${model.label}` }, text) : el("p", { class: "grey" }, "The text is not in this page."));
  }

  function show(task, move) {
    state.open = task;
    for (const link of by("task-list").querySelectorAll("a")) {
      if (link.getAttribute("href") === linkOfTask(task[0])) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const title = el("h3", { id: "open-task", tabindex: "-1" }, el("a", { href: linkOfTask(task[0]) }, task[0]), task[1] ? ` ${task[1]}` : "");
    const sides = state.left === state.right ? [state.left] : [state.left, state.right];
    by("panel").replaceChildren(title,
      ...(task[2] === null ? [el("p", { class: "grey" }, "The prompt is not in this page.")]
        : [el("details", { open: true, class: "prompt" }, el("summary", {}, "Prompt"), el("pre", { tabindex: "0", "aria-label": "Prompt" }, task[2]))]),
      el("div", { class: "sides" }, ...sides.map((place) => side(place, task))));
    if (move) {
      by("panel").scrollIntoView({ block: "start" });
      title.focus({ preventScroll: true });
    }
  }

  // The map: a column of boxes a task, a box a model, filled from below as far as its samples pass

  const BOX = 9, GAP = 3;
  function layoutOfMap(width) {
    const models = state.set.models.length;
    const columns = Math.max(10, Math.floor(width / (BOX + 1)));
    const band = models * (BOX + 1) + GAP * 2;
    return { columns, band, models, bands: Math.ceil(state.set.tasks.length / columns) };
  }

  function map() {
    const canvas = by("map"), width = canvas.parentElement.clientWidth, scale = window.devicePixelRatio || 1;
    const { columns, band, models, bands } = layoutOfMap(width);
    canvas.width = width * scale;
    canvas.height = bands * band * scale;
    canvas.style.height = `${bands * band}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    state.set.tasks.forEach((task, place) => {
      const x = (place % columns) * (BOX + 1), top = Math.floor(place / columns) * band;
      for (let model = 0; model < models; model++) {
        const share = rate(task[3][model]), y = top + model * (BOX + 1);
        if (share === null) continue;
        pen.fillStyle = COLOURS.failed;
        pen.fillRect(x, y, BOX, BOX);
        pen.fillStyle = COLOURS.passed;
        pen.fillRect(x, y + BOX * (1 - share), BOX, BOX * share);
        pen.strokeStyle = COLOURS.edge;
        pen.strokeRect(x + 0.5, y + 0.5, BOX - 1, BOX - 1);
      }
      const [left, right] = [rate(task[3][state.left]), rate(task[3][state.right])];
      if (left !== null && right !== null && most(left) !== most(right)) {
        pen.fillStyle = COLOURS.changed;
        pen.fillRect(x, top + models * (BOX + 1) + 1, BOX, 2);
      }
    });
    const told = state.set.models.map((model, place) => {
      const shares = state.set.tasks.map((task) => rate(task[3][place])).filter((share) => share !== null);
      return `${model.label}: ${(shares.reduce((sum, share) => sum + share, 0)).toFixed(0)} of ${shares.length}`;
    });
    canvas.setAttribute("aria-label", `Map of ${state.set.tasks.length} tasks. Tasks passed: ${told.join("; ")}. The list below has every task in words.`);
    by("map-key").textContent = `${state.set.title}: a column a task, from top to bottom ${state.set.models.map((model) => model.label).join(", ")}. `
      + "A box is filled as far as the samples pass; a red line below marks a task that most samples pass on one side only.";
  }

  function pressed(event) {
    const bounds = event.target.getBoundingClientRect();
    const { columns, band } = layoutOfMap(bounds.width);
    const place = Math.floor((event.clientY - bounds.top) / band) * columns + Math.floor((event.clientX - bounds.left) / (BOX + 1));
    if (state.set.tasks[place]) location.hash = linkOfTask(state.set.tasks[place][0]);
  }

  function draw() {
    const rows = compared();
    controls(rows);
    summary(rows);
    const found = list(rows);
    map();
    if (found.length) show(found.some((row) => row.task === state.open) ? state.open : found[0].task, false);
    else by("panel").replaceChildren();
  }

  // Commands

  function copied(button, text) {
    const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); };
    const byHand = () => {
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (document.execCommand("copy")) done();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, byHand);
    else byHand();
  }

  function commands() {
    for (const code of document.querySelectorAll("code.command")) {
      const button = el("button", { type: "button", class: "copy", "aria-label": `copy the command ${code.textContent}` }, "copy");
      button.addEventListener("click", () => copied(button, code.textContent));
      code.after(button);
    }
  }

  async function start() {
    commands();
    const drill = by("drill");
    if (drill && by("browser")) {
      try {
        if (drill.textContent.trim()) ({ sets } = await unpack(drill.textContent));
        else by("drill-summary").textContent = "The tasks are not in this copy of the page.";
      } catch (error) {
        by("drill-summary").textContent = `This browser cannot unpack the tasks (${error.name}): any of 2023 or later can.`;
      }
      sets = sets.filter((set) => set.tasks.length);
      by("needs-script").remove();
      if (!sets.length && !by("drill-summary").textContent) by("drill-summary").textContent = "This run judged no task.";
      if (sets.length) {
        by("browser").hidden = false;
        by("map").addEventListener("click", pressed);
        choose(sets[0]);
        draw();
        let timer;
        addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(map, 150); });
      }
    }
    addEventListener("hashchange", follow);
    addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details.print")) one.open = true; });
    if (location.hash) follow();
    document.documentElement.dataset.ready = "yes";
  }
  start();
})();
